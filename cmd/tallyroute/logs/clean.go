package logs

import (
	"slices"
	"strings"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// cleanCore keeps the words of others from breaking out of a line of the log or
// filling it: texts are bounded, and what would steer a terminal is replaced.
type cleanCore struct{ zapcore.Core }

// Bounds of a text in the log, in bytes.
const (
	maxLogText  = 256
	maxLogError = 1024
)

// With adds fields to all lines that follow.
func (c cleanCore) With(fields []zapcore.Field) zapcore.Core {
	return cleanCore{c.Core.With(cleanFields(fields))}
}

// Check asks for the lines that are wanted.
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

// cleanFields are the fields as they may be written: most of the time as they are.
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
	case f.Type == zapcore.StringType && f.Key != "stack": // which is ours, and long
		f.String = cleanText(f.String, maxLogText)
	}
	return f
}

// cleanText is s as one line of at most most bytes. Most texts are returned as
// they are.
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
