package authz

import "time"

// Config is the service's part of the configuration file.
type Config struct {
	// MaxGraphBytes bounds one organization's graph; absent: 4 GiB. Checks of
	// a larger one fail with GRAPH_TOO_LARGE.
	MaxGraphBytes uint64 `yaml:"max_graph_bytes"`
	// MaxBytes bounds all graphs of the process; absent: 8 GiB. Above it the
	// longest unused are evicted.
	MaxBytes uint64 `yaml:"max_bytes"`
	// IdleAfter evicts a graph that nobody asked about for so long; absent: 30m.
	IdleAfter time.Duration `yaml:"idle_after"`
	// PublicURL is where callers reach this service, scheme and host only, as
	// https://pdp.example.com; absent: AuthZEN answers without metadata.
	PublicURL string `yaml:"public_url"`
	// WatchRetention is how old a change may be that a watcher is still sent;
	// absent: 720h (30 days). Who asks for older ones is told to begin anew. The
	// log itself keeps everything.
	WatchRetention time.Duration `yaml:"watch_retention"`
	// StreamUnread is how long one message of a streamed list waits for a client
	// that does not read; absent: 30s. Then the stream is cut, since its list is
	// in memory until it is read.
	StreamUnread time.Duration `yaml:"stream_unread"`
}

func (c Config) withDefaults() Config {
	if c.MaxGraphBytes == 0 {
		c.MaxGraphBytes = 4 << 30
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 8 << 30
	}
	if c.IdleAfter == 0 {
		c.IdleAfter = 30 * time.Minute
	}
	if c.WatchRetention == 0 {
		c.WatchRetention = 30 * 24 * time.Hour
	}
	if c.StreamUnread == 0 {
		c.StreamUnread = 30 * time.Second
	}
	return c
}
