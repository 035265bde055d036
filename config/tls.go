package config

import "time"

// ACME is the acme block: where certificates that look after themselves come from.
type ACME struct {
	Pos        Pos
	Email      string
	Directory  string   // URL of the CA's directory; default Let's Encrypt
	CA         []byte   // PEM: roots that the CA's own TLS is verified with; nil is the system's
	Challenges []string // of "tls-alpn-01", "http-01", "dns-01"
	DNS        []string // command and arguments that publishes a DNS-01 record; empty without dns-01
	Key        string   // "p256", "p384", "rsa2048"
	EAB        *EAB     // nil is none
	OnDemand   []string // hosts, "*.example.com" among them, whose certificate is obtained at their first handshake
	Storage    string   // directory
}

// EAB is an external account binding (RFC 8555 section 7.3.4).
type EAB struct {
	ID  string
	Key string // base64url, secret
}

// TLS is a tls block: one certificate from files. Whoever reads it reads the files again when they change.
type TLS struct {
	Name string
	Pos  Pos
	Cert string // path: PEM, leaf first
	Key  string // path: PEM
}

// Front is what a listener with TLS does before it knows a request. Blocks that share a listener agree about all but
// Certificates, ACME and SelfSigned.
type Front struct {
	Certificates []*TLS
	ACME         bool // certificates for the block's hosts come from the acme block
	SelfSigned   bool
	MinVersion   uint16   // tls.VersionTLS12 or tls.VersionTLS13
	Tickets      [][]byte // secrets that session ticket keys are derived from, the newest first; empty is random keys of this process
	ClientCA     []byte   // PEM; nil asks no client for a certificate
	ClientAuth   string   // "require", "request"; "" without ClientCA
}

// HSTS is the Strict-Transport-Security field of every answer over TLS (RFC 6797); zero MaxAge is off.
type HSTS struct {
	MaxAge     time.Duration
	Subdomains bool
	Preload    bool
}

// MemberTLS is how members are spoken to over TLS.
type MemberTLS struct {
	CA     []byte // PEM; nil is the system's roots
	Name   string // server name to send and to verify; "" is the member's host
	Cert   []byte // PEM of our own certificate, nil for none
	Key    []byte // PEM, secret
	Verify bool
}
