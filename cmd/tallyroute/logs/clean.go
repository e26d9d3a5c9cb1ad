package logs

import (
	"slices"
	"strings"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// cleanCore keeps foreign text from breaking out of a log line or flooding the log: texts
// are truncated, and terminal control characters are replaced.
type cleanCore struct{ zapcore.Core }

// Limits on the length of a text in the log, in bytes.
const (
	maxLogText  = 256
	maxLogError = 1024
)

// With adds fields to all subsequent lines.
func (c cleanCore) With(fields []zapcore.Field) zapcore.Core {
	return cleanCore{c.Core.With(cleanFields(fields))}
}

// Check decides whether a line is wanted.
func (c cleanCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write writes one line.
func (c cleanCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	e.Message = cleanText(e.Message, maxLogError)
	return c.Core.Write(e, cleanFields(fields))
}

// cleanFields returns the fields in a form that is safe to write; most of the time they are
// unchanged.
func cleanFields(fields []zapcore.Field) []zapcore.Field {
	for i, f := range fields {
		if c := cleanField(f); c.Type != f.Type || c.String != f.String {
			clean := slices.Clone(fields)
			for j := i; j < len(clean); j++ {
				clean[j] = cleanField(clean[j])
			}
			return clean
		}
	}
	return fields
}

func cleanField(f zapcore.Field) zapcore.Field {
	switch err, isError := f.Interface.(error); {
	case f.Type == zapcore.ErrorType && isError:
		return zap.String(f.Key, cleanText(err.Error(), maxLogError))
	case f.Type == zapcore.StringType && f.Key == "error":
		f.String = cleanText(f.String, maxLogError)
	case f.Type == zapcore.StringType && f.Key != "stack": // our own stack traces, which are long
		f.String = cleanText(f.String, maxLogText)
	}
	return f
}

// cleanText returns s as one line of at most `most` bytes. Most texts are returned
// unchanged.
func cleanText(s string, most int) string {
	const dot = "·"
	plain := len(s) <= most
	for i := 0; i < len(s) && plain; i++ {
		plain = ' ' <= s[i] && s[i] < 0x7f
	}
	if plain {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Cf) {
			return '·'
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), most)], dot))
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}
