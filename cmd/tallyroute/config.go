package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tallyroute/billing"
	"tallyroute/billing/journal"
	"tallyroute/providers/chat"
)

// Config is tallyroute.yaml. Everything has a default, so an empty file, or
// none, is a working configuration. The name of a member in the file is its
// yaml tag, and the environment variable that overrides it is derived from the
// tags on the way to it: limits.max_body_bytes is TALLYROUTE_LIMITS_MAX_BODY_BYTES.
type Config struct {
	Listen              string    `yaml:"listen"`
	AdminListen         string    `yaml:"admin_listen"` // "off" for none
	Database            dsn       `yaml:"database"`
	DatabaseDirect      dsn       `yaml:"database_direct"`
	DatabaseConnections int       `yaml:"database_connections"`
	ReportingTimezone   string    `yaml:"reporting_timezone"`
	IntegrityEvery      duration  `yaml:"integrity_every"`    // 0 is never
	Journal             string    `yaml:"journal"`            // a directory, "" beside the database, "off" for none
	JournalSync         string    `yaml:"journal_sync"`       // always, interval or off
	JournalMaxBytes     int64     `yaml:"journal_max_bytes"`  // of all segments
	OfflineTTL          duration  `yaml:"offline_ttl"`        // how long keys and allowances last without the database
	ReplicaLostAfter    duration  `yaml:"replica_lost_after"` // since its leases expired; 0 for never
	KeyPepper           secretRef `yaml:"key_pepper"`
	AdminToken          secretRef `yaml:"admin_token"`
	Providers           section   `yaml:"providers"`
	Aliases             section   `yaml:"aliases"`
	PricesFile          string    `yaml:"prices_file"` // newer prices of built-in models
	Defaults            defaults  `yaml:"defaults"`
	Overrun             overrun   `yaml:"overrun"`
	Limits              limits    `yaml:"limits"`
	Timeouts            timeouts  `yaml:"timeouts"`
	Routing             routing   `yaml:"routing"`
	Log                 logging   `yaml:"log"`
	Members             members   `yaml:"members"`
	Idempotency         replays   `yaml:"idempotency"`
	Fingerprints        bool      `yaml:"fingerprints"` // on rows, of requests and their prefixes
	Demo                bool      `yaml:"demo"`
	TrustedProxies      []prefix  `yaml:"trusted_proxies"`
	CORSOrigins         []string  `yaml:"cors_origins"`   // pages that may use the API; "*" for all
	UpstreamProxy       proxyRef  `yaml:"upstream_proxy"` // http://host:port, environment, or a reference
	AdminHosts          []string  `yaml:"admin_hosts"`    // names of the admin listener, beside addresses and localhost

	file string // where it was read from; "" where there is none
}

// defaults are what a request or a key gets when it does not say.
type defaults struct {
	KeyBudget       keyBudget `yaml:"key_budget"`
	OnUnpriced      string    `yaml:"on_unpriced"`       // block or allow
	MaxOutputTokens int64     `yaml:"max_output_tokens"` // 0 is the model's own maximum
}

// members are those of requests of which nobody knows what they cost.
type members struct {
	Allow  []string `yaml:"allow"`  // names of those that are taken for free
	Refuse string   `yaml:"refuse"` // to which keys others are refused: budgeted or all
}

// keyBudget is the budget of a key that is created without one.
type keyBudget struct {
	Period billing.Period `yaml:"period"`
	Zone   string         `yaml:"zone"`
	USD    *usd           `yaml:"usd"`
	Tokens *int64         `yaml:"tokens"`
}

// overrun is how far the answers of a key may go beyond what was held for them
// before it is stopped. 0 is as far as they like.
type overrun struct {
	StopUSD     usd   `yaml:"stop_usd"`
	StopPercent int64 `yaml:"stop_percent"` // of the tightest budget that binds the key
}

func (o overrun) limit() billing.OverrunLimit {
	return billing.OverrunLimit{Money: billing.Money(o.StopUSD), Percent: o.StopPercent}
}

// limits bound what one client, or all of them together, may take.
type limits struct {
	MaxBodyBytes int64 `yaml:"max_body_bytes"`
	MaxMessages  int64 `yaml:"max_messages"` // of one request
	MaxParts     int64 `yaml:"max_parts"`    // content parts, tool calls and tools of one request
	// BytesInFlight are what requests under way may hold, in all and of one key; never
	// less than two of the largest bodies.
	BytesInFlight       int64 `yaml:"bytes_in_flight"`
	BytesInFlightPerKey int64 `yaml:"bytes_in_flight_per_key"`

	MaxHeaderBytes int `yaml:"max_header_bytes"`
	MaxConnections int `yaml:"max_connections"`
	IdleUpstream   int `yaml:"idle_upstream_connections"` // kept open to each provider
	// BackgroundCalls are those that are finished after their clients have left.
	BackgroundCalls       int `yaml:"background_calls"`
	BackgroundCallsPerKey int `yaml:"background_calls_per_key"`
}

// bytes are what requests under way may hold, of one key and in all: never less than
// two of the largest bodies.
func (l limits) bytes() (key, all int64) {
	return max(l.BytesInFlightPerKey, 2*l.MaxBodyBytes), max(l.BytesInFlight, 2*l.MaxBodyBytes)
}

// timeouts bound how long anything may take.
type timeouts struct {
	ReadHeader           duration `yaml:"read_header"`
	ReadBody             duration `yaml:"read_body"`
	Idle                 duration `yaml:"idle"`
	Write                duration `yaml:"write"` // of one event of a stream
	Request              duration `yaml:"request"`
	StreamSilence        duration `yaml:"stream_silence"` // until a client is told that its stream is being worked on
	Read                 duration `yaml:"read"`           // of a key's budgets, or of the rows of a request
	Admin                duration `yaml:"admin"`
	UpstreamDial         duration `yaml:"upstream_dial"`
	UpstreamTLS          duration `yaml:"upstream_tls"`
	UpstreamHeader       duration `yaml:"upstream_header"` // 0 is as long as the request may take
	UpstreamStreamHeader duration `yaml:"upstream_stream_header"`
	UpstreamFirstContent duration `yaml:"upstream_first_content"`
	UpstreamIdle         duration `yaml:"upstream_idle"`
	DatabaseAcquire      duration `yaml:"database_acquire"`
	DatabaseStatement    duration `yaml:"database_statement"`
	DatabaseLock         duration `yaml:"database_lock"`
	ShutdownWait         duration `yaml:"shutdown_wait"` // between readyz saying no and the listener closing
	Shutdown             duration `yaml:"shutdown"`      // for streams to end by themselves
}

// routing is how hard a request is tried.
type routing struct {
	MaxAttempts int `yaml:"max_attempts"`
}

// replays is what is kept of answers that may be asked for again.
type replays struct {
	TTL lifetime `yaml:"ttl"`
}

// logging is what is written to standard error.
type logging struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"` // json, text or auto: text on a terminal
}

// defaultConfig is the configuration of an empty file.
func defaultConfig() Config {
	return Config{
		Listen:            "127.0.0.1:8080",
		AdminListen:       "127.0.0.1:8081",
		Database:          "sqlite:./tallyroute.db",
		ReportingTimezone: "UTC",
		IntegrityEvery:    duration(time.Hour),
		PricesFile:        "tallyroute.prices.yaml",
		JournalSync:       string(journal.SyncInterval),
		JournalMaxBytes:   1 << 30,
		OfflineTTL:        duration(5 * time.Minute),
		ReplicaLostAfter:  duration(time.Hour),
		Defaults:          defaults{OnUnpriced: "block"},
		Members:           members{Refuse: "budgeted"},
		Overrun:           overrun{StopUSD: usd(billing.DefaultOverrunLimit().Money), StopPercent: billing.DefaultOverrunLimit().Percent},
		Limits: limits{
			MaxBodyBytes: 10 << 20, MaxMessages: chat.MaxMessages, MaxParts: chat.MaxParts, BytesInFlight: 256 << 20,
			BytesInFlightPerKey: 64 << 20,
			MaxHeaderBytes:      32 << 10, MaxConnections: 4096, IdleUpstream: 256, BackgroundCalls: 64, BackgroundCallsPerKey: 4,
		},
		Timeouts: timeouts{
			ReadHeader: seconds(5), ReadBody: seconds(30), Idle: seconds(60), Write: seconds(15),
			Request: duration(10 * time.Minute), Read: duration(900 * time.Millisecond), StreamSilence: seconds(15), Admin: seconds(15),
			UpstreamDial: seconds(3), UpstreamTLS: seconds(5), UpstreamFirstContent: duration(5 * time.Minute),
			UpstreamStreamHeader: seconds(30), UpstreamIdle: seconds(60),
			DatabaseAcquire: duration(250 * time.Millisecond), DatabaseStatement: seconds(2),
			DatabaseLock: duration(500 * time.Millisecond),
			ShutdownWait: seconds(2), Shutdown: seconds(30),
		},
		Routing:      routing{MaxAttempts: 3},
		Fingerprints: true,
		Idempotency:  replays{TTL: lifetime(24 * time.Hour)},
		Log:          logging{Level: "info", Format: "auto"},
	}
}

// config reads the file and the environment and reports every fault of both.
func (a *app) config() (*Config, error) {
	cfg, r, err := a.readConfig()
	if err == nil {
		err = r.err()
	}
	return cfg, err
}

// readConfig reads the file and the environment; the reader has the faults.
func (a *app) readConfig() (*Config, *configReader, error) {
	file, text, err := readConfigFile(a.configPath)
	if err != nil {
		return nil, nil, err
	}
	cfg := defaultConfig()
	cfg.file = file
	r := newConfigReader(cfg.source())
	r.file(text, &cfg)
	r.environment(a.env, &cfg)
	r.check(&cfg)
	return &cfg, r, nil
}

// source is what faults call the file.
func (c *Config) source() string {
	if c.file == "" {
		return "defaults"
	}
	return filepath.Base(c.file)
}

// maxConfigBytes is far above any configuration that a person writes.
const maxConfigBytes = 1 << 20

// readConfigFile reads the named file, or ./tallyroute.yaml where none is named
// and that one exists.
func readConfigFile(name string) (file string, text []byte, err error) {
	file = name
	if file == "" {
		file = "tallyroute.yaml"
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) && name == "" {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("configuration: %w", err)
	}
	if info.Size() > maxConfigBytes {
		return "", nil, fmt.Errorf("configuration: %s is larger than %d bytes", file, maxConfigBytes)
	}
	text, err = os.ReadFile(file)
	if err != nil {
		return "", nil, fmt.Errorf("configuration: %w", err)
	}
	return file, text, nil
}

// fault is one thing that is wrong with the configuration. It names places and
// never repeats a value, which may be a secret.
type fault struct {
	source  string // the file, or "environment"
	line    int    // 0 where there is none
	path    string // limits.max_body_bytes, or the name of a variable
	problem string
}

func (f fault) String() string {
	s := f.source
	if f.line > 0 {
		s = fmt.Sprintf("%s:%d", s, f.line)
	}
	if f.path != "" {
		s += ": " + f.path
	}
	return s + ": " + f.problem
}

// faultsError is everything that is wrong, in the order in which it was found.
type faultsError []fault

func (e faultsError) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = "\n  " + f.String()
	}
	noun := "faults"
	if len(e) == 1 {
		noun = "fault"
	}
	return fmt.Sprintf("configuration: %d %s%s", len(e), noun, strings.Join(lines, ""))
}
