package serve

import "time"

// Config is how a server listens and what it bears. Each zero value means the
// default that its comment names.
type Config struct {
	// Listen is host:port for all calls; absent: 127.0.0.1:0.
	Listen string `yaml:"listen"`
	// Admin is host:port for /metrics and /debug/pprof, and for /livez and
	// /readyz too; absent: /metrics is served on Listen and pprof nowhere. Where
	// strangers reach Listen, probes should use Admin: it has connections of its
	// own, and answers when Listen is full.
	Admin string `yaml:"admin"`
	// TLS of Listen; absent: clear text, HTTP/1.1 and h2c.
	TLS TLS `yaml:"tls"`

	// HeaderTimeout is the time a client has to send the headers, and to send a
	// new connection's first request; absent: 5 s.
	HeaderTimeout time.Duration `yaml:"header_timeout"`
	// BodyTimeout is the time a client has to send a unary request; absent: 10 s.
	BodyTimeout time.Duration `yaml:"body_timeout"`
	// IdleTimeout ends connections without calls; absent: 2 min.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// MaxHeaderBytes of a request; absent: 32 KiB.
	MaxHeaderBytes int `yaml:"max_header_bytes"`
	// MaxMessageBytes of one message, after decompression; absent: 4 MiB.
	MaxMessageBytes int `yaml:"max_message_bytes"`
	// MaxConnections at once; more are closed; absent: 10,000.
	MaxConnections int `yaml:"max_connections"`
	// MaxConnectionsPerAddress is how many of them one remote address (IPv6: one
	// /64) has; absent: 1,024. Behind a proxy, set it to MaxConnections.
	MaxConnectionsPerAddress int `yaml:"max_connections_per_address"`
	// MaxConcurrent unary calls at once, half of them for one principal; more
	// are answered with RATE_LIMITED; absent: 1,024.
	MaxConcurrent int `yaml:"max_concurrent"`
	// MaxStreams at once, a quarter of them for one principal and half of them
	// for one organization; more are answered with RATE_LIMITED; absent: 256.
	MaxStreams int `yaml:"max_streams"`

	// StreamIdle is how long a stream waits for the client's next message;
	// absent: 60 s.
	StreamIdle time.Duration `yaml:"stream_idle"`
	// NoReflection turns gRPC reflection off. It says, to everybody, which
	// procedures there are; absent: it is on.
	NoReflection bool `yaml:"no_reflection"`

	// Deadline of a unary call that names none; absent: 3 s.
	Deadline time.Duration `yaml:"deadline"`
	// MaxDeadline is the most that a unary call gets; absent: 60 s.
	MaxDeadline time.Duration `yaml:"max_deadline"`
	// StreamDeadline is the most that a stream gets; absent: 1 h.
	StreamDeadline time.Duration `yaml:"stream_deadline"`
	// StopTimeout is the time that calls have to finish at the end; absent: 4 s.
	StopTimeout time.Duration `yaml:"stop_timeout"`

	// Limits on calls; absent: those of Limits.
	Limits Limits `yaml:"limits"`
	// AccessLog is "all" or "errors"; absent: all.
	AccessLog string `yaml:"access_log"`
}

// TLS names the server's certificate. Both files or none. They are read again
// when they change.
type TLS struct {
	// CertFile holds the PEM chain, the server's own certificate first.
	CertFile string `yaml:"cert_file"`
	// KeyFile holds the PEM key.
	KeyFile string `yaml:"key_file"`
	// ClientCertificates asks clients for certificates, which OAuth clients prove
	// themselves with, and which their access tokens may be bound to (RFC 8705). Whoever
	// has none is served all the same, but browsers may ask their users, unless
	// sessions.certificate_urls names hosts for it; absent: nobody is asked.
	ClientCertificates bool `yaml:"client_certificates"`
}

// Limits are the budgets of calls. Each principal and each organization has
// budgets of its own, so that management cannot use up what checks need.
type Limits struct {
	// Read is for procedures that change nothing; absent: 20,000/s, burst 40,000.
	Read Rate `yaml:"read"`
	// Write is for changes at level write; absent: 2,000/s, burst 4,000.
	Write Rate `yaml:"write"`
	// Manage is for changes at level admin; absent: 100/s, burst 200.
	Manage Rate `yaml:"manage"`
	// SignIn is for the steps of people's sign-ins, of which a product makes all with
	// one token; absent: 2,000/s, burst 4,000.
	SignIn Rate `yaml:"sign_in"`
	// Guess is for tokens that are refused, by remote address; absent: 20/s,
	// burst 100.
	Guess Rate `yaml:"guess"`
	// Anonymous is for what anybody may have kept without a token, as requests to sign
	// somebody in, by remote address; absent: 100/s, burst 2,000. All who come by one proxy
	// have its address.
	Anonymous Rate `yaml:"anonymous"`
}

// Rate is a token bucket.
type Rate struct {
	// PerSecond is how fast the bucket fills; negative: no limit.
	PerSecond float64 `yaml:"per_second"`
	// Burst is the bucket's size; absent: twice PerSecond.
	Burst int `yaml:"burst"`
}

const defaultMessageBytes = 4 << 20

func (c Config) withDefaults() Config {
	fill(&c.Listen, "127.0.0.1:0")
	fill(&c.HeaderTimeout, 5*time.Second)
	fill(&c.BodyTimeout, 10*time.Second)
	fill(&c.IdleTimeout, 2*time.Minute)
	fill(&c.MaxHeaderBytes, 32<<10)
	fill(&c.MaxMessageBytes, defaultMessageBytes)
	fill(&c.MaxConnections, 10_000)
	fill(&c.MaxConnectionsPerAddress, 1024)
	fill(&c.MaxConcurrent, 1024)
	fill(&c.MaxStreams, 256)
	fill(&c.Deadline, 3*time.Second)
	fill(&c.MaxDeadline, time.Minute)
	fill(&c.StreamDeadline, time.Hour)
	fill(&c.StreamIdle, time.Minute)
	fill(&c.StopTimeout, 4*time.Second)
	fill(&c.AccessLog, "all")
	c.Limits.Read = c.Limits.Read.or(20_000)
	c.Limits.Write = c.Limits.Write.or(2_000)
	c.Limits.Manage = c.Limits.Manage.or(100)
	c.Limits.SignIn = c.Limits.SignIn.or(2_000)
	if c.Limits.Guess == (Rate{}) {
		c.Limits.Guess = Rate{PerSecond: 20, Burst: 100}
	}
	c.Limits.Guess = c.Limits.Guess.or(20)
	if c.Limits.Anonymous == (Rate{}) {
		c.Limits.Anonymous = Rate{PerSecond: 100, Burst: 2000}
	}
	c.Limits.Anonymous = c.Limits.Anonymous.or(100)
	return c
}

func (r Rate) or(perSecond float64) Rate {
	fill(&r.PerSecond, perSecond)
	if r.Burst == 0 {
		r.Burst = max(1, int(2*r.PerSecond))
	}
	return r
}

func fill[T comparable](value *T, preset T) {
	var zero T
	if *value == zero {
		*value = preset
	}
}
