// Package logs writes the log, as JSON lines or text for people, with one line per request.
// No outsider can break a line or flood the log.
package logs

import (
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"tallyroute/billing"
	"tallyroute/cmd/tallyroute/config"
	"tallyroute/router"
)

// New returns a logger that writes to w: one JSON object per line, or text for people if w
// is a terminal.
func New(w io.Writer, o config.Logging) *zap.Logger {
	return loggerTo(zapcore.Lock(zapcore.AddSync(w)), levelOf(o), encoding(w, o.Format))
}

// NewBusy is New for many lines per second, which are buffered briefly. Anything above the
// info level is written at once, together with everything before it. Sync writes what is
// left. The level can be changed at run time.
func NewBusy(w io.Writer, o config.Logging) (*zap.Logger, zap.AtomicLevel) {
	lines := newLineBuffer(w)
	hurry := func(e zapcore.Entry) error {
		if e.Level > zapcore.InfoLevel {
			return lines.Sync()
		}
		return nil
	}
	level := levelOf(o)
	return loggerTo(lines, level, encoding(w, o.Format)).WithOptions(zap.Hooks(hurry)), level
}

// encoding returns how lines are written to w: json or text.
func encoding(w io.Writer, format string) string {
	switch {
	case format != "auto":
		return format
	case isTerminal(w):
		return "text"
	}
	return "json"
}

// levelOf returns the configured level.
func levelOf(o config.Logging) zap.AtomicLevel {
	level, err := zap.ParseAtomicLevel(o.Level)
	if err != nil {
		return zap.NewAtomicLevel()
	}
	return level
}

func loggerTo(w zapcore.WriteSyncer, level zapcore.LevelEnabler, encoding string) *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey, cfg.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(cfg)
	if encoding == "text" {
		cfg.EncodeTime = zapcore.TimeEncoderOfLayout(time.TimeOnly)
		cfg.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(cfg)
	}
	return zap.New(cleanCore{zapcore.NewCore(encoder, w, level)})
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Requests writes one line per request. A Record contains no secret and no text, and
// whatever a client chose is truncated and escaped by the encoder.
type Requests struct{ Log *zap.Logger }

var _ router.Observer = Requests{}

// Observe writes r.
func (l Requests) Observe(r router.Record) {
	if r.Event == router.EventRepeated {
		l.Log.Info(string(r.Event), zap.String("request_id", r.RequestID), zap.String("key_id", string(r.KeyID)),
			zap.String("original_request_id", r.Original))
		return
	}
	if r.Event == router.EventBooked {
		for _, row := range r.Rows {
			l.doubts(row)
		}
		return
	}
	if r.Event != router.EventRequest {
		l.Log.Warn(string(r.Event), zap.String("request_id", r.RequestID), zap.Error(r.Err))
		return
	}
	if r.Refusal == "key" && r.KeyID == "" {
		return // unknown keys, of which there may be any number, are reported by the server
	}
	message := "answered"
	if r.Refusal != "" {
		message = "refused"
	}
	line := l.Log.Check(zapcore.InfoLevel, message)
	if line == nil {
		return
	}
	fields := append(make([]zap.Field, 0, 17),
		zap.String("request_id", r.RequestID),
		zap.String("key_id", string(r.KeyID)),
		zap.String("team_id", r.TeamID),
		zap.String("model", r.RequestedModel),
		zap.String("status", string(r.Status)),
		zap.Bool("streamed", r.Streamed),
		zap.Int("attempts", len(r.Attempts)),
		zap.Duration("total", r.Total),
		zap.Duration("overhead", r.Overhead),
	)
	if r.Refusal != "" {
		line.Write(append(fields, zap.String("cause", r.Refusal), zap.Error(r.Err))...)
		return
	}
	row := r.Rows[len(r.Rows)-1]
	line.Write(append(fields,
		zap.String("provider", row.Provider),
		zap.String("served", row.Model),
		zap.String("reason", string(row.RouteReason)),
		zap.Int64("prompt_tokens", row.Tokens.Prompt()),
		zap.Int64("completion_tokens", row.Tokens.Output),
		zap.String("usage", string(row.UsageSource)),
		zap.String("cost_usd", billing.Sum(r.Rows).Money.Short()),
		zap.Duration("first_byte", r.FirstByte),
	)...)
}

// doubts writes a line about a row that exceeded its hold, or for which the provider's
// figures disagree with what was booked.
func (l Requests) doubts(row billing.Spend) {
	message := ""
	switch {
	case row.Disputed:
		message = "usage disputed"
	case row.OverrunTokens > 0 || row.OverrunMoney > 0:
		message = "overrun"
	case row.CostDiffers():
		message = "provider states another cost"
	default:
		return
	}
	fields := append(make([]zap.Field, 0, 13),
		zap.String("request_id", row.RequestID),
		zap.String("key_id", string(row.Owner.KeyID)),
		zap.String("provider", row.Provider),
		zap.String("served", row.Model),
		zap.String("usage", string(row.UsageSource)),
		zap.Int64("prompt_tokens", row.Tokens.Prompt()),
		zap.Int64("completion_tokens", row.Tokens.Output),
		zap.String("cost_usd", row.Cost.Total.Short()),
		zap.Int64("overrun_tokens", row.OverrunTokens),
		zap.String("overrun_usd", row.OverrunMoney.Short()),
	)
	if said := row.Reported; said != nil {
		fields = append(fields, zap.Int64("reported_prompt_tokens", said.Prompt()), zap.Int64("reported_completion_tokens", said.Output))
	}
	if row.ProviderCost != nil {
		fields = append(fields, zap.String("provider_cost_usd", row.ProviderCost.Short()))
	}
	l.Log.Warn(message, fields...)
}
