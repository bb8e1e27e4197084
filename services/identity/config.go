package identity

// Config is the service's part of the configuration file.
type Config struct {
	// DNSServer is asked for the records that prove email domains: an IP address, as
	// 192.0.2.53 or 192.0.2.53:53; absent: the servers of the machine's configuration.
	DNSServer string `yaml:"dns_server"`
}
