package identity

// Config is the service's part of the configuration file.
type Config struct {
	// DNSServer is asked for the records that prove email domains: an IP address, as
	// 192.0.2.53 or 192.0.2.53:53; absent: the servers of the machine's configuration.
	DNSServer string `yaml:"dns_server"`
	// Product is what people know this deployment as, in letters and on their devices;
	// absent: Meridian.
	Product string `yaml:"product"`
	// Pages is where links in letters lead, as https://id.example.com. Required with
	// mail.
	Pages string `yaml:"pages"`
	// Mail is the server that letters are sent by; absent: none are, and nobody signs
	// in or up by email.
	Mail MailConfig `yaml:"mail"`
	// Passkeys is the relying party; absent: there are no passkeys.
	Passkeys PasskeysConfig `yaml:"passkeys"`
	// Passwords is what hashing them takes.
	Passwords PasswordsConfig `yaml:"passwords"`
	// BreachedPasswords is a list of those: a file or folder as the downloaders of Have
	// I Been Pwned write it; absent: none is refused for being known.
	BreachedPasswords string `yaml:"breached_passwords"`
}

// MailConfig says how letters are sent.
type MailConfig struct {
	// URLFile holds smtps://user:password@host:465 or smtp://…:587, mode 0600.
	URLFile string `yaml:"url_file"`
	// From is the sender, as Meridian <no-reply@example.com>. Required with URLFile.
	From string `yaml:"from"`
	// AllowPlaintext sends without TLS to a server on a loopback address.
	AllowPlaintext bool `yaml:"allow_plaintext"`
}

// PasskeysConfig is the relying party that passkeys are for.
type PasskeysConfig struct {
	// RPID is the domain that passkeys are bound to, as example.com. It can never
	// change: with another one all passkeys are lost.
	RPID string `yaml:"rp_id"`
	// Origins are the pages' own, on that domain or below it, as
	// https://id.example.com. Required with RPID.
	Origins []string `yaml:"origins"`
	// RelatedOrigins are pages of other domains that use the same passkeys, of five
	// names at most; absent: none.
	RelatedOrigins []string `yaml:"related_origins"`
	// UserVerification is required or preferred; absent: preferred. Where it is
	// required, a key that cannot verify its user is not taken, as a second factor
	// neither.
	UserVerification string `yaml:"user_verification"`
	// Attestation is none or direct; absent: none. With direct, authenticators are
	// asked who made them, and browsers ask their users.
	Attestation string `yaml:"attestation"`
	// AttestationFormats are those that direct attestation takes, as packed and tpm;
	// absent: all that can be verified, and none.
	AttestationFormats []string `yaml:"attestation_formats"`
	// AttestationRootsFile holds the certificates, in PEM, that a statement must chain
	// to; absent: statements are verified, and trusted for nobody's word. Without none
	// among the formats, only authenticators of these makers are taken.
	AttestationRootsFile string `yaml:"attestation_roots_file"`
}

// PasswordsConfig is what a hash takes, argon2id. What is absent is as OWASP
// recommends. A change counts for new passwords, and for others when their user
// signs in.
type PasswordsConfig struct {
	// MemoryKiB of one hash; absent: 19456.
	MemoryKiB uint32 `yaml:"memory_kib"`
	// Passes over it; absent: 2.
	Passes uint32 `yaml:"passes"`
	// BudgetMiB bounds all hashes of the process together; absent: 256. Others wait.
	BudgetMiB int64 `yaml:"budget_mib"`
}
