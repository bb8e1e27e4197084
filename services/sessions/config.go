package sessions

import "time"

// Config is the service's part of the configuration file.
type Config struct {
	// Issuers are where people and clients reach the provider, as
	// https://id.example.com: each is an issuer of its own. Absent: there is none, and
	// nobody signs in here.
	Issuers []string `yaml:"issuers"`
	// SessionIdle ends a session that is not used for so long; absent: 72h.
	SessionIdle time.Duration `yaml:"session_idle"`
	// SessionAbsolute ends a session in any case; absent: 720h (30 days).
	SessionAbsolute time.Duration `yaml:"session_absolute"`
}

func (c Config) withDefaults() Config {
	if c.SessionIdle == 0 {
		c.SessionIdle = 72 * time.Hour
	}
	if c.SessionAbsolute == 0 {
		c.SessionAbsolute = 30 * 24 * time.Hour
	}
	return c
}
