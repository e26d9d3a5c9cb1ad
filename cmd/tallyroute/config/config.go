package config

import (
	"path/filepath"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
	"tallyroute/billing/policy"
	"tallyroute/providers/chat"
)

// Config is tallyroute.yaml. Everything has a default, so an empty file, or
// none, is a working configuration. The name of a member in the file is its
// yaml tag, and the environment variable that overrides it is derived from the
// tags on the way to it: limits.max_body_bytes is TALLYROUTE_LIMITS_MAX_BODY_BYTES.
// What is tagged reload:"no" takes effect at the next start.
type Config struct {
	Listen              string        `yaml:"listen" reload:"no"`
	AdminListen         string        `yaml:"admin_listen" reload:"no"` // "off" for none
	TLS                 TLS           `yaml:"tls" reload:"no"`
	AdminTLS            AdminTLS      `yaml:"admin_tls" reload:"no"`
	RequireTLS          bool          `yaml:"require_tls"`  // of keys and tokens that come from other hosts
	ExposedKeys         string        `yaml:"exposed_keys"` // what becomes of keys that come without: tell, disable or revoke
	Database            DSN           `yaml:"database" reload:"no"`
	DatabaseDirect      DSN           `yaml:"database_direct" reload:"no"`
	DatabaseLogin       SecretRef     `yaml:"database_login" reload:"no"`
	DatabaseConnections int           `yaml:"database_connections" reload:"no"`
	ReportingTimezone   string        `yaml:"reporting_timezone" reload:"no"`
	IntegrityEvery      Duration      `yaml:"integrity_every"`               // 0 is never
	Journal             string        `yaml:"journal" reload:"no"`           // a directory, "" beside the database, "off" for none
	JournalSync         string        `yaml:"journal_sync" reload:"no"`      // always, interval or off
	JournalMaxBytes     int64         `yaml:"journal_max_bytes" reload:"no"` // of all segments
	OfflineTTL          Duration      `yaml:"offline_ttl" reload:"no"`       // how long keys and allowances last without the database
	ReplicaLostAfter    Duration      `yaml:"replica_lost_after"`            // since its leases expired; 0 for never
	EventsKeep          Duration      `yaml:"events_keep"`                   // 0 for ever
	AuditForward        []Destination `yaml:"audit_forward"`                 // who is sent the audit log
	AuditSigningKey     SecretRef     `yaml:"audit_signing_key"`             // that signs checkpoints of it
	LeaversKeep         Duration      `yaml:"leavers_keep"`                  // keys of people who have left
	AccessKeep          Lifetime      `yaml:"access_keep"`                   // who used which key from where; off: not at all
	KeyPepper           SecretRef     `yaml:"key_pepper" reload:"no"`
	AdminToken          SecretRef     `yaml:"admin_token"`
	Providers           Section       `yaml:"providers"`
	Aliases             Section       `yaml:"aliases"`
	ModelGroups         []ModelGroup  `yaml:"model_groups"`
	PricesFile          string        `yaml:"prices_file"` // newer prices of built-in models
	Defaults            Defaults      `yaml:"defaults"`
	Overrun             Overrun       `yaml:"overrun"`
	Limits              Limits        `yaml:"limits"`
	Timeouts            Timeouts      `yaml:"timeouts"`
	Routing             Routing       `yaml:"routing"`
	Log                 Logging       `yaml:"log"`
	Members             Members       `yaml:"members"`
	Idempotency         Idempotency   `yaml:"idempotency"`
	Responses           Responses     `yaml:"responses"`
	Fingerprints        bool          `yaml:"fingerprints"` // on rows, of requests and their prefixes
	Demo                bool          `yaml:"demo" reload:"no"`
	Production          bool          `yaml:"production"` // refuses what is warned about elsewhere
	TrustedProxies      []Prefix      `yaml:"trusted_proxies"`
	AllowedNetworks     []Prefix      `yaml:"allowed_networks"` // that may use the public listener; none is all
	BlockedNetworks     []Prefix      `yaml:"blocked_networks"`
	Secrets             Secrets       `yaml:"secrets"`
	Sinks               []string      `yaml:"sinks"`          // NAME=file:/dir, NAME=https://…, NAME=kubernetes:NAMESPACE …
	WebhookSecret       SecretRef     `yaml:"webhook_secret"` // that calls of sinks and alerts are signed with
	Alerts              Alerts        `yaml:"alerts"`
	Anomalies           Anomalies     `yaml:"anomalies"`
	Runaway             Runaway       `yaml:"runaway"`
	Leaks               Leaks         `yaml:"leaks"`
	CORSOrigins         []string      `yaml:"cors_origins"`   // pages that may use the API; "*" for all
	UpstreamProxy       ProxyRef      `yaml:"upstream_proxy"` // http://host:port, environment, or a reference
	AdminHosts          []string      `yaml:"admin_hosts"`    // names of the admin listener, beside addresses and localhost
	Login               Login         `yaml:"login"`
	Roles               []OwnRole     `yaml:"roles"`

	IdentityIssuers []IdentityIssuer `yaml:"identity_issuers"`

	File string // where it was read from; "" if there is none
	Text string // what the sections are read from; "" where there is no file
}

// Secrets are the services that keep secrets, and how to log in to them. One that is not
// described takes no part.
type Secrets struct {
	// Key seals what is stored in the database; Previous is the key before it, which opens
	// what was not sealed anew yet.
	Key      SecretRef `yaml:"encryption_key"`
	Previous SecretRef `yaml:"previous_encryption_key"`
	// AgeIdentity opens what was encrypted with age.
	AgeIdentity SecretRef `yaml:"age_identity" reload:"no"`
	Refresh     Duration  `yaml:"refresh" reload:"no"` // how often they are asked for newer versions
	Vault       Vault     `yaml:"vault" reload:"no"`
	AWS         AWS       `yaml:"aws" reload:"no"`
	Azure       Azure     `yaml:"azure" reload:"no"`
	Google      Google    `yaml:"google" reload:"no"`
	Conjur      Conjur    `yaml:"conjur" reload:"no"`
}

// AWS is AWS Secrets Manager.
type AWS struct {
	Region   string `yaml:"region"`   // of secrets whose name is no ARN; "" is the environment's
	Endpoint string `yaml:"endpoint"` // "" is the region's
}

// Azure is Azure Key Vault.
type Azure struct {
	Suffix string `yaml:"suffix"` // of the hosts of vaults
}

// Google is Google Secret Manager.
type Google struct {
	Endpoint string `yaml:"endpoint"` // "" is the public one
}

// Conjur is a CyberArk Conjur.
type Conjur struct {
	Address string    `yaml:"address"`
	Account string    `yaml:"account"`
	CAFile  string    `yaml:"ca_file"`
	Login   string    `yaml:"login"`   // whose API key secret is; "" logs in by a JWT
	Service string    `yaml:"service"` // id of the authenticator for JWTs
	Secret  SecretRef `yaml:"secret"`  // the API key or the JWT
}

// Vault is a HashiCorp Vault or an OpenBao.
type Vault struct {
	Address   string    `yaml:"address"`
	Namespace string    `yaml:"namespace"`
	CAFile    string    `yaml:"ca_file"`    // of the authorities that its certificate is checked by; "" are the system's
	Auth      string    `yaml:"auth"`       // token, approle, kubernetes or jwt
	AuthMount string    `yaml:"auth_mount"` // "" is the one of auth
	Role      string    `yaml:"role"`       // of kubernetes and jwt; the role id of an approle
	Secret    SecretRef `yaml:"secret"`     // the token, the secret id or the JWT
}

// IdentityIssuer signs tokens by which jobs and services prove who they are, in place of
// holding a key.
type IdentityIssuer struct {
	Issuer   string        `yaml:"issuer"`   // as its tokens name it
	Audience string        `yaml:"audience"` // that its tokens must be for
	JWKSURL  string        `yaml:"jwks_url"` // where its keys are; "" is found by its discovery document
	Keys     []IdentityKey `yaml:"keys"`     // the first whose condition is true is used
}

// IdentityKey is the key of those whose claims fulfil a condition.
type IdentityKey struct {
	Key       string   `yaml:"key"` // its id
	When      string   `yaml:"when"`
	ExpiresIn Duration `yaml:"expires_in"` // of a temporary key; 15m where it is left out, which is the most
	Direct    bool     `yaml:"direct"`     // the token itself may be sent in place of a key
}

// Section is a group of settings that the catalogue reads, out of Config.Text.
type Section struct{}

// Login is how people log in at the admin listener; without an issuer nobody can.
type Login struct {
	Issuer       string      `yaml:"issuer"`
	ClientID     string      `yaml:"client_id"`
	ClientSecret SecretRef   `yaml:"client_secret"` // "" for a public client
	URL          string      `yaml:"url"`           // of the admin listener for browsers; "" is without cookies
	Scopes       []string    `yaml:"scopes"`
	GroupsClaim  string      `yaml:"groups_claim"`
	Groups       []GroupRole `yaml:"groups"`
	MFA          []string    `yaml:"mfa"` // of which amr or acr has to hold one; none is any login
	Idle         Duration    `yaml:"idle"`
	Absolute     Duration    `yaml:"absolute"`
	StepUp       Duration    `yaml:"step_up"`
}

// GroupRole is a role that the members of a group have.
type GroupRole struct {
	Group   string `yaml:"group"`
	Role    string `yaml:"role"`
	Team    string `yaml:"team"`    // only in this team
	Project string `yaml:"project"` // only in this project: TEAM/PROJECT or its id
	Must    string `yaml:"must"`    // a condition without which it counts for nothing
}

// OwnRole is a role of the organisation's own.
type OwnRole struct {
	Name        string   `yaml:"name"`
	Permissions []string `yaml:"permissions"`
}

// OwnRoles are the roles of the organisation's own, by name.
func (c *Config) OwnRoles() map[string][]string {
	own := make(map[string][]string, len(c.Roles))
	for _, r := range c.Roles {
		own[r.Name] = r.Permissions
	}
	return own
}

// Defaults are what a request or a key gets when it does not say.
type Defaults struct {
	KeyBudget       KeyBudget `yaml:"key_budget"`
	OnUnpriced      string    `yaml:"on_unpriced"`       // block or allow
	MaxOutputTokens int64     `yaml:"max_output_tokens"` // 0 is the model's own maximum
}

// ModelGroup is a name for several models, by which keys and policies name them: @NAME.
type ModelGroup struct {
	Name   string   `yaml:"name"`
	Models []string `yaml:"models"` // names, or patterns with *
}

// Groups are the groups of models, by name.
func (c *Config) Groups() policy.Groups {
	groups := make(policy.Groups, len(c.ModelGroups))
	for _, g := range c.ModelGroups {
		groups[g.Name] = g.Models
	}
	return groups
}

// Members are those of requests of which nobody knows what they cost.
type Members struct {
	Allow  []string `yaml:"allow"`  // those that are taken for free, behind the provider, or the provider and the model
	Refuse string   `yaml:"refuse"` // to which keys others are refused: budgeted or all
}

// KeyBudget is the budget of a key that is created without one.
type KeyBudget struct {
	Period billing.Period `yaml:"period"`
	Zone   string         `yaml:"zone"`
	USD    *USD           `yaml:"usd"`
	Tokens *int64         `yaml:"tokens"`
}

// Overrun is how far the answers of a key may go beyond what was held for them
// before it is stopped. 0 is as far as they like.
type Overrun struct {
	StopUSD     USD   `yaml:"stop_usd" reload:"no"`
	StopPercent int64 `yaml:"stop_percent" reload:"no"` // of the tightest budget that binds the key
}

// Limits bound what one client, or all of them together, may take.
type Limits struct {
	MaxBodyBytes int64 `yaml:"max_body_bytes" reload:"no"`
	MaxMessages  int64 `yaml:"max_messages"` // of one request
	MaxParts     int64 `yaml:"max_parts"`    // content parts, tool calls and tools of one request
	// BytesInFlight are what requests under way may hold, in all and of one key; never
	// less than two of the largest bodies.
	BytesInFlight       int64 `yaml:"bytes_in_flight" reload:"no"`
	BytesInFlightPerKey int64 `yaml:"bytes_in_flight_per_key" reload:"no"`

	MaxHeaderBytes int `yaml:"max_header_bytes" reload:"no"`
	MaxConnections int `yaml:"max_connections" reload:"no"`
	IdleUpstream   int `yaml:"idle_upstream_connections"` // kept open to each provider
	// BackgroundCalls are those that are finished after their clients have left.
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
	StreamSilence        Duration `yaml:"stream_silence"` // until a client is told that its stream is being worked on
	Read                 Duration `yaml:"read"`           // of a key's budgets, or of the rows of a request
	KeyEnded             Duration `yaml:"key_ended"`      // until a stream ends whose key has ended
	Admin                Duration `yaml:"admin"`
	UpstreamDial         Duration `yaml:"upstream_dial"`
	UpstreamTLS          Duration `yaml:"upstream_tls"`
	UpstreamHeader       Duration `yaml:"upstream_header"` // 0 is as long as the request may take
	UpstreamStreamHeader Duration `yaml:"upstream_stream_header"`
	UpstreamFirstContent Duration `yaml:"upstream_first_content"`
	UpstreamIdle         Duration `yaml:"upstream_idle"`
	DatabaseAcquire      Duration `yaml:"database_acquire" reload:"no"`
	DatabaseStatement    Duration `yaml:"database_statement" reload:"no"`
	DatabaseLock         Duration `yaml:"database_lock" reload:"no"`
	ShutdownWait         Duration `yaml:"shutdown_wait"` // between readyz saying no and the listener closing
	Shutdown             Duration `yaml:"shutdown"`      // for streams to end by themselves
}

// Routing is how hard a request is tried.
type Routing struct {
	MaxAttempts int `yaml:"max_attempts"`
}

// Leaks is the listener that is told of secrets which were found in public.
type Leaks struct {
	Listen     string `yaml:"listen" reload:"no"` // "off" for none
	PublicKeys string `yaml:"public_keys" reload:"no"`
	Action     string `yaml:"action"` // revoke, disable or tell
}

// Idempotency is what is kept of answers that may be asked for again.
type Idempotency struct {
	TTL Lifetime `yaml:"ttl"`
}

// Responses are how long responses are kept for keys that may have them kept, and how much
// of them.
type Responses struct {
	Keep        Lifetime `yaml:"keep"`          // off: none is
	PerKey      int64    `yaml:"per_key"`       // the oldest make room
	BytesPerKey int64    `yaml:"bytes_per_key"` // likewise
	MaxBytes    int64    `yaml:"max_bytes"`     // of all keys
}

// Logging is what is written to standard error.
type Logging struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format" reload:"no"` // json, text or auto: text on a terminal
}

// Default is the configuration of an empty file.
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

// Source is what faults call the file.
func (c *Config) Source() string {
	if c.File == "" {
		return "defaults"
	}
	return filepath.Base(c.File)
}
