package breakdown

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Placeholders for a text that a line's rows lack, and for one that is gone because the
// rows were archived. No text in the ledger contains a NUL.
const (
	absent   = "\x00"
	archived = "\x00archived"
)

// text is a text column: its name, and the SQL for its value in row e.
type text struct{ name, value string }

// texts are the columns that determine which rows form one line; the first of them, up to
// pricing and usage_source, are also in the rollup.
var texts = [...]text{
	{"team_id", "e.team_id"},
	{"project_id", "e.project_id"},
	{"key_id", "e.key_id"},
	{"cost_center", "e.cost_center"},
	{"environment", "e.environment"},
	{"provider", "e.provider"},
	{"model", "e.model"},
	{"kind", "e.kind"},
	{"pricing", "e.pricing"},
	{"usage_source", "e.usage_source"},
	{"requested_model", "e.requested_model"},
	{"service_tier", "e.service_tier"},
	{"status", "e.status"},
	{"end_user", "e.end_user"},
	{"session", "e.session"},
	{"credential", "e.upstream_credential"},
	{"region", "e.region"},
	{"tags", "CAST(e.tags AS text)"},
}

// ofRollup is the number of text columns that the rollup has.
const ofRollup = 10

// number is a numeric column: its name, and the SQL for what row e adds to it.
type number struct{ name, value string }

var numbers = [...]number{
	{"ledger_rows", "1"},
	{"requests", "CASE WHEN e.kind = 'usage' AND e.final THEN 1 ELSE 0 END"},
	{"attempts", "CASE WHEN e.kind = 'usage' THEN 1 ELSE 0 END"},
	{"errors", "CASE WHEN e.kind = 'usage' AND e.status <> 'ok' THEN 1 ELSE 0 END"},
	{"input_tokens", "e.input_tokens"},
	{"cache_read_tokens", "e.cache_read_tokens"},
	{"cache_write_tokens", "e.cache_write_tokens"},
	{"output_tokens", "e.output_tokens"},
	{"overrun_tokens", "e.overrun_tokens"},
	{"overrun_nano", "e.overrun_nano"},
	{"input_cost_nano", "coalesce(e.input_cost_nano, 0)"},
	{"cache_read_cost_nano", "coalesce(e.cache_read_cost_nano, 0)"},
	{"cache_write_cost_nano", "coalesce(e.cache_write_cost_nano, 0)"},
	{"output_cost_nano", "coalesce(e.output_cost_nano, 0)"},
	{"fee_nano", "coalesce(e.fee_nano, 0)"},
	{"cost_nano", "coalesce(e.cost_nano, 0)"},
	{"baseline_cost_nano", "CASE WHEN e.pricing = 'unpriced' THEN 0 ELSE coalesce(e.baseline_cost_nano, e.cost_nano, 0) END"},
	{"cache_savings_nano", ""}, // see Dialect
}

// Line is a set of rows that are alike: their common texts, and their sums.
type Line struct {
	Texts   [len(texts)]string
	Numbers [len(numbers)]int64
}

// textColumn returns the index of a text column, or -1.
func textColumn(name string) int {
	return slices.IndexFunc(texts[:], func(t text) bool { return t.name == name })
}

// numberColumn returns the index of a numeric column.
func numberColumn(name string) int {
	return slices.IndexFunc(numbers[:], func(n number) bool { return n.name == name })
}

// rowsSQL selects the lines of single rows; the caller appends the condition.
func rowsSQL(d Dialect) string {
	var selected []string
	for _, t := range texts {
		selected = append(selected, t.value)
	}
	for _, n := range numbers {
		selected = append(selected, cmp.Or(n.value, d.CacheSavings))
	}
	return "SELECT " + strings.Join(selected, ", ") + " FROM spend_events e WHERE "
}

// rollupSQL selects the lines of one day of the rollup, as scanRollup reads them.
func rollupSQL() string {
	var selected []string
	for _, t := range texts[:ofRollup] {
		selected = append(selected, t.name)
	}
	for _, n := range numbers {
		selected = append(selected, n.name)
	}
	return "SELECT " + strings.Join(selected, ", ") + " FROM spend_daily WHERE report_day = "
}

// packTags packs tags, given as a JSON object, so that one of them can be found without
// parsing JSON: alternating names and values, each preceded by its length.
func packTags(object string) (string, error) {
	if object == "{}" {
		return "", nil
	}
	var tags map[string]string
	if err := json.Unmarshal([]byte(object), &tags); err != nil {
		return "", err
	}
	var packed []byte
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		for _, s := range []string{name, tags[name]} {
			packed = append(binary.AppendUvarint(packed, uint64(len(s))), s...)
		}
	}
	return string(packed), nil
}

// eachTag calls each for every packed tag, until it returns false.
func eachTag(packed string, each func(name, value string) bool) {
	next := func() (s string) {
		n, size := uvarint(packed)
		s, packed = packed[size:size+n], packed[size+n:]
		return s
	}
	for packed != "" && packed != archived {
		if !each(next(), next()) {
			return
		}
	}
}

// uvarint reads a length written by packTags.
func uvarint(s string) (n, size int) {
	for shift := 0; ; shift += 7 {
		b := s[size]
		size++
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			return n, size
		}
	}
}

// tagOf returns the value of a tag from packed tags.
func tagOf(packed, name string) string {
	if packed == archived {
		return archived
	}
	found := absent
	eachTag(packed, func(n, value string) bool {
		if n == name {
			found = value
		}
		return n != name
	})
	return found
}
