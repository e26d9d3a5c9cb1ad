package connect

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

func asTOML() syntax { return syntax{readTOML, writeTOML, editTOML} }

func readTOML(text []byte) (object, error) {
	all := object{}
	err := toml.Unmarshal(text, &all)
	return all, err
}

func writeTOML(all object) ([]byte, error) { return toml.Marshal(all) }

// editTOML edits texts with one key per line, below the header of its table.
func editTOML(text []byte, s setting) []byte {
	table, key := s.path[:len(s.path)-1], s.path[len(s.path)-1]
	value, err := toml.Marshal(object{key: s.value})
	if err != nil {
		return text
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	from, to := tableLines(lines, table)
	if from < 0 {
		return slices.Concat(ended(text), []byte("\n["+strings.Join(table, ".")+"]\n"), value)
	}
	own := regexp.MustCompile(`^\s*` + regexp.QuoteMeta(key) + `\s*=`)
	for i := from; i < to; i++ {
		if own.Match(lines[i]) {
			lines[i] = value
			return bytes.Join(lines, nil)
		}
	}
	for to > from && len(bytes.TrimSpace(lines[to-1])) == 0 {
		to-- // keep the blank lines before the next table
	}
	if to > 0 {
		lines[to-1] = ended(lines[to-1])
	}
	return bytes.Join(slices.Insert(lines, to, value), nil)
}

// tableLines returns the range of lines between a table's header and the next header; -1 if the
// table has no header. The unnamed table is at the beginning.
func tableLines(lines [][]byte, table []string) (from, to int) {
	header := regexp.MustCompile(`^\s*\[`)
	quoted := make([]string, len(table))
	for i, name := range table {
		quoted[i] = `["']?` + regexp.QuoteMeta(name) + `["']?`
	}
	own := regexp.MustCompile(`^\s*\[\s*` + strings.Join(quoted, `\s*\.\s*`) + `\s*\]`)
	if from = -1; len(table) == 0 {
		from = 0
	}
	for i, line := range lines {
		switch {
		case from < 0 && own.Match(line):
			from = i + 1
		case from >= 0 && i >= from && header.Match(line):
			return from, i
		}
	}
	return from, len(lines)
}

// ended returns the text with a newline at its end.
func ended(text []byte) []byte {
	if len(text) == 0 || bytes.HasSuffix(text, []byte("\n")) {
		return text
	}
	return append(bytes.Clone(text), '\n')
}
