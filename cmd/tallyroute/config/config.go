package config

import (
	"path/filepath"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
	"tallyroute/billing/policy"
	"tallyroute/providers/chat"
)

// Config is tallyroute.yaml. Everything has a default, so an empty or missing file is a
// working configuration. A setting's name in the file is its yaml tag, and the environment
// variable that overrides it is derived from the tags on the path to it:
// limits.max_body_bytes is TALLYROUTE_LIMITS_MAX_BODY_BYTES. Settings tagged reload:"no"
// take effect at the next start.
type Config struct {
	Listen              string        `yaml:"listen" reload:"no"`
	AdminListen         string        `yaml:"admin_listen" reload:"no"` // "off" for none
	TLS                 TLS           `yaml:"tls" reload:"no"`
	AdminTLS            AdminTLS      `yaml:"admin_tls" reload:"no"`
	RequireTLS          bool          `yaml:"require_tls"`  // for keys and tokens from other hosts
	ExposedKeys         string        `yaml:"exposed_keys"` // what to do about keys sent without TLS: tell, disable or revoke
	Database            DSN           `yaml:"database" reload:"no"`
	DatabaseDirect      DSN           `yaml:"database_direct" reload:"no"`
	DatabaseLogin       SecretRef     `yaml:"database_login" reload:"no"`
	DatabaseConnections int           `yaml:"database_connections" reload:"no"`
	ReportingTimezone   string        `yaml:"reporting_timezone" reload:"no"`
	IntegrityEvery      Duration      `yaml:"integrity_every"`               // 0 never checks
	Journal             string        `yaml:"journal" reload:"no"`           // a directory; "" is beside the database, "off" disables it
	JournalSync         string        `yaml:"journal_sync" reload:"no"`      // always, interval or off
	JournalMaxBytes     int64         `yaml:"journal_max_bytes" reload:"no"` // all segments together
	OfflineTTL          Duration      `yaml:"offline_ttl" reload:"no"`       // how long keys and allowances last without the database
	ReplicaLostAfter    Duration      `yaml:"replica_lost_after"`            // after its leases expired; 0 never gives it up
	EventsKeep          Duration      `yaml:"events_keep"`                   // 0 keeps them indefinitely
	AuditForward        []Destination `yaml:"audit_forward"`                 // where the audit log is sent
	AuditSigningKey     SecretRef     `yaml:"audit_signing_key"`             // signs checkpoints of the audit log
	LeaversKeep         Duration      `yaml:"leavers_keep"`                  // how long keys of people who have left are kept
	AccessKeep          Lifetime      `yaml:"access_keep"`                   // record of who used which key from where; off keeps none
	KeyPepper           SecretRef     `yaml:"key_pepper" reload:"no"`
	AdminToken          SecretRef     `yaml:"admin_token"`
	Providers           Section       `yaml:"providers"`
	Aliases             Section       `yaml:"aliases"`
	ModelGroups         []ModelGroup  `yaml:"model_groups"`
	PricesFile          string        `yaml:"prices_file"` // newer prices for built-in models
	Defaults            Defaults      `yaml:"defaults"`
	Overrun             Overrun       `yaml:"overrun"`
	Limits              Limits        `yaml:"limits"`
	Timeouts            Timeouts      `yaml:"timeouts"`
	Routing             Routing       `yaml:"routing"`
	Log                 Logging       `yaml:"log"`
	Members             Members       `yaml:"members"`
	Idempotency         Idempotency   `yaml:"idempotency"`
	Responses           Responses     `yaml:"responses"`
	Fingerprints        bool          `yaml:"fingerprints"` // stored with rows, for requests and their prefixes
	Demo                bool          `yaml:"demo" reload:"no"`
	Production          bool          `yaml:"production"` // refuses what is only warned about otherwise
	TrustedProxies      []Prefix      `yaml:"trusted_proxies"`
	AllowedNetworks     []Prefix      `yaml:"allowed_networks"` // that may use the public listener; empty allows all
	BlockedNetworks     []Prefix      `yaml:"blocked_networks"`
	Secrets             Secrets       `yaml:"secrets"`
	Sinks               []string      `yaml:"sinks"`          // NAME=file:/dir, NAME=https://…, NAME=kubernetes:NAMESPACE …
	WebhookSecret       SecretRef     `yaml:"webhook_secret"` // signs calls to sinks and alert webhooks
	Alerts              Alerts        `yaml:"alerts"`
	Anomalies           Anomalies     `yaml:"anomalies"`
	Runaway             Runaway       `yaml:"runaway"`
	Leaks               Leaks         `yaml:"leaks"`
	CORSOrigins         []string      `yaml:"cors_origins"`   // pages that may use the API; "*" for all
	UpstreamProxy       ProxyRef      `yaml:"upstream_proxy"` // http://host:port, environment, or a reference
	AdminHosts          []string      `yaml:"admin_hosts"`    // extra names of the admin listener, besides addresses and localhost
	Login               Login         `yaml:"login"`
	Roles               []OwnRole     `yaml:"roles"`
	AdminCertificates   []Certified   `yaml:"admin_certificates"` // who is a principal by the certificate of the connection

	IdentityIssuers []IdentityIssuer `yaml:"identity_issuers"`

	File string // the file that it was read from; "" if there is none
	Text string // the text that sections are read from; "" without a file
}

// Secrets configures the services that keep secrets, and how to log in to them. Those not
// configured aren't used.
type Secrets struct {
	// Key encrypts what is stored in the database; Previous is the key before it, which
	// opens whatever hasn't been re-encrypted yet.
	Key      SecretRef `yaml:"encryption_key"`
	Previous SecretRef `yaml:"previous_encryption_key"`
	// AgeIdentity decrypts what was encrypted with age.
	AgeIdentity SecretRef `yaml:"age_identity" reload:"no"`
	Refresh     Duration  `yaml:"refresh" reload:"no"` // how often newer versions are fetched
	Vault       Vault     `yaml:"vault" reload:"no"`
	AWS         AWS       `yaml:"aws" reload:"no"`
	Azure       Azure     `yaml:"azure" reload:"no"`
	Google      Google    `yaml:"google" reload:"no"`
	Conjur      Conjur    `yaml:"conjur" reload:"no"`
}

// AWS configures AWS Secrets Manager.
type AWS struct {
	Region   string `yaml:"region"`   // for secrets whose name isn't an ARN; "" takes the environment's
	Endpoint string `yaml:"endpoint"` // "" takes the region's
}

// Azure configures Azure Key Vault.
type Azure struct {
	Suffix string `yaml:"suffix"` // of vault host names
}

// Google configures Google Secret Manager.
type Google struct {
	Endpoint string `yaml:"endpoint"` // "" takes the public one
}

// Conjur configures a CyberArk Conjur server.
type Conjur struct {
	Address string    `yaml:"address"`
	Account string    `yaml:"account"`
	CAFile  string    `yaml:"ca_file"`
	Login   string    `yaml:"login"`   // the owner of the API key in secret; "" logs in with a JWT
	Service string    `yaml:"service"` // id of the JWT authenticator
	Secret  SecretRef `yaml:"secret"`  // the API key or the JWT
}

// Vault configures a HashiCorp Vault or OpenBao server.
type Vault struct {
	Address   string    `yaml:"address"`
	Namespace string    `yaml:"namespace"`
	CAFile    string    `yaml:"ca_file"`    // CA certificates to verify its certificate with; "" takes the system's
	Auth      string    `yaml:"auth"`       // token, approle, kubernetes or jwt
	AuthMount string    `yaml:"auth_mount"` // "" takes the default of auth
	Role      string    `yaml:"role"`       // for kubernetes and jwt; the role id for approle
	Secret    SecretRef `yaml:"secret"`     // the token, the secret id or the JWT
}

// IdentityIssuer signs tokens with which jobs and services prove their identity instead of
// holding a key.
type IdentityIssuer struct {
	Issuer   string        `yaml:"issuer"`   // as named in its tokens
	Audience string        `yaml:"audience"` // required in its tokens
	JWKSURL  string        `yaml:"jwks_url"` // where its keys are; "" takes it from the discovery document
	Keys     []IdentityKey `yaml:"keys"`     // the first whose condition holds is used
}

// IdentityKey is the key for callers whose claims meet a condition.
type IdentityKey struct {
	Key       string   `yaml:"key"` // its id
	When      string   `yaml:"when"`
	ExpiresIn Duration `yaml:"expires_in"` // of a temporary key; defaults to 15m, which is the maximum
	Direct    bool     `yaml:"direct"`     // allows sending the token itself in place of a key
}

// Section is a group of settings that the catalogue reads from Config.Text.
type Section struct{}

// Login configures how people log in at the admin listener; without an issuer nobody can.
type Login struct {
	Issuer       string      `yaml:"issuer"`
	ClientID     string      `yaml:"client_id"`
	ClientSecret SecretRef   `yaml:"client_secret"` // "" for a public client
	URL          string      `yaml:"url"`           // of the admin listener for browsers; "" disables cookies
	Scopes       []string    `yaml:"scopes"`
	GroupsClaim  string      `yaml:"groups_claim"`
	Groups       []GroupRole `yaml:"groups"`
	MFA          []string    `yaml:"mfa"` // values of which amr or acr must contain one; empty accepts any login
	Idle         Duration    `yaml:"idle"`
	Absolute     Duration    `yaml:"absolute"`
	StepUp       Duration    `yaml:"step_up"`
}

// GroupRole is a role given to the members of a group.
type GroupRole struct {
	Group   string `yaml:"group"`
	Role    string `yaml:"role"`
	Team    string `yaml:"team"`    // only in this team
	Project string `yaml:"project"` // only in this project: TEAM/PROJECT or its id
	Must    string `yaml:"must"`    // a condition without which the role doesn't apply
}

// OwnRole is a role defined by the organisation.
type OwnRole struct {
	Name        string   `yaml:"name"`
	Permissions []string `yaml:"permissions"`
}

// Certified makes holders of client certificates a principal.
type Certified struct {
	Name      string `yaml:"name"`      // a URI, DNS name or address of the certificate, or CN= and its common name
	Principal string `yaml:"principal"` // by id or name
}

// CertifiedPrincipals returns the principals of client certificates, by the certificates' names.
func (c *Config) CertifiedPrincipals() map[string]string {
	all := make(map[string]string, len(c.AdminCertificates))
	for _, one := range c.AdminCertificates {
		all[one.Name] = one.Principal
	}
	return all
}

// OwnRoles returns the roles defined by the organisation, by name.
func (c *Config) OwnRoles() map[string][]string {
	own := make(map[string][]string, len(c.Roles))
	for _, r := range c.Roles {
		own[r.Name] = r.Permissions
	}
	return own
}

// Defaults apply to a request or a key that doesn't say otherwise.
type Defaults struct {
	KeyBudget       KeyBudget `yaml:"key_budget"`
	OnUnpriced      string    `yaml:"on_unpriced"`       // block or allow
	MaxOutputTokens int64     `yaml:"max_output_tokens"` // 0 takes the model's own maximum
}

// ModelGroup is a name for several models, by which keys and policies refer to them: @NAME.
type ModelGroup struct {
	Name   string   `yaml:"name"`
	Models []string `yaml:"models"` // names, or patterns with *
}

// Groups returns the groups of models, by name.
func (c *Config) Groups() policy.Groups {
	groups := make(policy.Groups, len(c.ModelGroups))
	for _, g := range c.ModelGroups {
		groups[g.Name] = g.Models
	}
	return groups
}

// Members configures how to treat request fields whose cost is unknown.
type Members struct {
	Allow  []string `yaml:"allow"`  // accepted as free, prefixed by the provider, or by the provider and the model
	Refuse string   `yaml:"refuse"` // for which keys the remaining ones are refused: budgeted or all
}

// KeyBudget is the budget of a key that is created without one of its own.
type KeyBudget struct {
	Period billing.Period `yaml:"period"`
	Zone   string         `yaml:"zone"`
	USD    *USD           `yaml:"usd"`
	Tokens *int64         `yaml:"tokens"`
}

// Overrun limits how far the answers of a key may exceed what was held for them before the
// key is stopped. 0 is no limit.
type Overrun struct {
	StopUSD     USD   `yaml:"stop_usd" reload:"no"`
	StopPercent int64 `yaml:"stop_percent" reload:"no"` // of the tightest budget that applies to the key
}

// Limits bound what one client, or all of them together, may use.
type Limits struct {
	MaxBodyBytes int64 `yaml:"max_body_bytes" reload:"no"`
	MaxMessages  int64 `yaml:"max_messages"` // of one request
	MaxParts     int64 `yaml:"max_parts"`    // content parts, tool calls and tools of one request
	// BytesInFlight limits what requests in flight may hold, in total and per key; never
	// less than two of the largest bodies.
	BytesInFlight       int64 `yaml:"bytes_in_flight" reload:"no"`
	BytesInFlightPerKey int64 `yaml:"bytes_in_flight_per_key" reload:"no"`

	MaxHeaderBytes int `yaml:"max_header_bytes" reload:"no"`
	MaxConnections int `yaml:"max_connections" reload:"no"`
	IdleUpstream   int `yaml:"idle_upstream_connections"` // kept open to each provider
	// BackgroundCalls limits the calls that are finished after their clients have left.
	BackgroundCalls       int `yaml:"background_calls" reload:"no"`
	BackgroundCallsPerKey int `yaml:"background_calls_per_key" reload:"no"`
}

// Timeouts bound how long anything may take.
type Timeouts struct {
	ReadHeader           Duration `yaml:"read_header" reload:"no"`
	ReadBody             Duration `yaml:"read_body"`
	Idle                 Duration `yaml:"idle" reload:"no"`
	Write                Duration `yaml:"write"` // of one event of a stream
	Request              Duration `yaml:"request"`
	StreamSilence        Duration `yaml:"stream_silence"` // until a client is told that its stream is still being worked on
	Read                 Duration `yaml:"read"`           // of a key's budgets, or of the rows of a request
	KeyEnded             Duration `yaml:"key_ended"`      // until a stream whose key has ended is ended too
	Admin                Duration `yaml:"admin"`
	UpstreamDial         Duration `yaml:"upstream_dial"`
	UpstreamTLS          Duration `yaml:"upstream_tls"`
	UpstreamHeader       Duration `yaml:"upstream_header"` // 0 is as long as the whole request may take
	UpstreamStreamHeader Duration `yaml:"upstream_stream_header"`
	UpstreamFirstContent Duration `yaml:"upstream_first_content"`
	UpstreamIdle         Duration `yaml:"upstream_idle"`
	DatabaseAcquire      Duration `yaml:"database_acquire" reload:"no"`
	DatabaseStatement    Duration `yaml:"database_statement" reload:"no"`
	DatabaseLock         Duration `yaml:"database_lock" reload:"no"`
	ShutdownWait         Duration `yaml:"shutdown_wait"` // between readyz turning negative and the listener closing
	Shutdown             Duration `yaml:"shutdown"`      // for streams to finish by themselves
}

// Routing configures how hard a request is tried.
type Routing struct {
	MaxAttempts int `yaml:"max_attempts"`
}

// Leaks configures the listener that receives reports of secrets found in public.
type Leaks struct {
	Listen     string `yaml:"listen" reload:"no"` // "off" disables it
	PublicKeys string `yaml:"public_keys" reload:"no"`
	Action     string `yaml:"action"` // revoke, disable or tell
}

// Idempotency configures how long answers are kept for retries with an idempotency key.
type Idempotency struct {
	TTL Lifetime `yaml:"ttl"`
}

// Responses configures how long stored responses are kept for keys that may store them, and
// how much of them.
type Responses struct {
	Keep        Lifetime `yaml:"keep"`          // off stores none
	PerKey      int64    `yaml:"per_key"`       // the oldest are removed to make room
	BytesPerKey int64    `yaml:"bytes_per_key"` // likewise
	MaxBytes    int64    `yaml:"max_bytes"`     // of all keys
}

// Logging configures what is written to standard error.
type Logging struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format" reload:"no"` // json, text or auto: text on a terminal
}

// Default returns the configuration of an empty file.
func Default() Config {
	return Config{
		Listen:            "127.0.0.1:8080",
		AdminListen:       "127.0.0.1:8081",
		TLS:               TLS{MinVersion: "1.2", HSTS: Lifetime(365 * 24 * time.Hour)},
		ExposedKeys:       "tell",
		Database:          "sqlite:./tallyroute.db",
		ReportingTimezone: "UTC",
		IntegrityEvery:    Duration(time.Hour),
		PricesFile:        "tallyroute.prices.yaml",
		JournalSync:       string(journal.SyncInterval),
		JournalMaxBytes:   1 << 30,
		OfflineTTL:        Duration(5 * time.Minute),
		ReplicaLostAfter:  Duration(time.Hour),
		EventsKeep:        Duration(400 * 24 * time.Hour),
		LeaversKeep:       Duration(14 * 24 * time.Hour),
		AccessKeep:        Lifetime(30 * 24 * time.Hour),
		Secrets:           Secrets{Refresh: seconds(10), Vault: Vault{Auth: "token"}, Azure: Azure{Suffix: "vault.azure.net"}},
		Anomalies:         Anomalies{Every: seconds(60)},
		Runaway:           Runaway{Within: seconds(300), Pause: seconds(600)},
		Alerts:            Alerts{Every: seconds(10), SMTP: SMTP{Port: 587, TLS: "starttls"}},
		Defaults:          Defaults{OnUnpriced: "block"},
		Members:           Members{Refuse: "budgeted"},
		Overrun:           Overrun{StopUSD: USD(billing.DefaultOverrunLimit().Money), StopPercent: billing.DefaultOverrunLimit().Percent},
		Limits: Limits{
			MaxBodyBytes: 10 << 20, MaxMessages: chat.MaxMessages, MaxParts: chat.MaxParts, BytesInFlight: 256 << 20,
			BytesInFlightPerKey: 64 << 20,
			MaxHeaderBytes:      32 << 10, MaxConnections: 4096, IdleUpstream: 256, BackgroundCalls: 64, BackgroundCallsPerKey: 4,
		},
		Timeouts: Timeouts{
			ReadHeader: seconds(5), ReadBody: seconds(30), Idle: seconds(60), Write: seconds(15),
			Request: Duration(10 * time.Minute), Read: Duration(900 * time.Millisecond), StreamSilence: seconds(15), Admin: seconds(15),
			UpstreamDial: seconds(3), UpstreamTLS: seconds(5), UpstreamFirstContent: Duration(5 * time.Minute),
			UpstreamStreamHeader: seconds(30), UpstreamIdle: seconds(60),
			DatabaseAcquire: Duration(250 * time.Millisecond), DatabaseStatement: seconds(2),
			DatabaseLock: Duration(500 * time.Millisecond),
			ShutdownWait: seconds(2), Shutdown: seconds(30),
		},
		Login: Login{
			Scopes: []string{"profile", "email", "groups"}, GroupsClaim: "groups", Idle: Duration(time.Hour),
			Absolute: Duration(12 * time.Hour), StepUp: Duration(5 * time.Minute),
		},
		Routing:      Routing{MaxAttempts: 3},
		Fingerprints: true,
		Leaks: Leaks{
			Listen: "off", PublicKeys: "https://api.github.com/meta/public_keys/secret_scanning", Action: "revoke",
		},
		Idempotency: Idempotency{TTL: Lifetime(24 * time.Hour)},
		Responses:   Responses{PerKey: 1000, BytesPerKey: 64 << 20, MaxBytes: 1 << 30},
		Log:         Logging{Level: "info", Format: "auto"},
	}
}

// Source returns what faults call the file.
func (c *Config) Source() string {
	if c.File == "" {
		return "defaults"
	}
	return filepath.Base(c.File)
}
