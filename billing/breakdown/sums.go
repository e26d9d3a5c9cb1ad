package breakdown

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"

	"tallyroute/billing"
)

// What is added up for a line besides its numbers: attempts without a price, and attempts
// whose usage wasn't reported.
const (
	unpriced = len(numbers)
	notExact = unpriced + 1
	allSums  = notExact + 1
)

// sums holds the sums for one share of the groups.
type sums struct {
	seed          maphash.Seed // the same for all shares
	share, shares uint64
	groups        map[string]*[allSums]int64 // keyed by the texts of their sources
	local         [allSums][]int64           // of the groups in a part
}

func newSums(seed maphash.Seed, share, shares int) *sums {
	return &sums{
		seed: seed, share: uint64(share), shares: uint64(shares),
		groups: make(map[string]*[allSums]int64),
	}
}

// add adds a part of a day.
func (s *sums) add(g *grouping, p *Part, day string) {
	lines := make([]uint32, p.lines) // the group of each line
	groups, keys := groupLines(g, p, day, lines)
	outside(g.query, p, lines, uint32(groups))
	for i := range s.local {
		s.local[i] = append(s.local[i][:0], make([]int64, groups+1)...) // the last is for lines that aren't wanted
	}
	for i, n := range p.numbers {
		addNumbers(s.local[i], lines, n)
	}
	addWhere(s.local[unpriced], lines, p, "pricing", func(v string) bool { return v == string(billing.Unpriced) })
	addWhere(s.local[notExact], lines, p, "usage_source", func(v string) bool { return v != string(billing.Reported) })
	for i := range groups {
		if s.local[sumColumns.rows][i] == 0 {
			continue
		}
		key := keys(i)
		if s.shares > 1 && maphash.String(s.seed, key)%s.shares != s.share {
			continue
		}
		to := s.groups[key]
		if to == nil {
			to = new([allSums]int64)
			s.groups[key] = to
		}
		for j := range to {
			to[j] += s.local[j][i]
		}
	}
}

// addNumbers adds up a column by group.
func addNumbers(sums []int64, lines []uint32, l numberList) {
	switch {
	case l.each != nil:
		for i, n := range l.each {
			sums[lines[i]] += n
		}
	case l.same != 0:
		for _, g := range lines {
			sums[g] += l.same
		}
	}
}

// addWhere adds up the attempts of lines whose text in a column satisfies such.
func addWhere(sums []int64, lines []uint32, p *Part, column string, such func(string) bool) {
	l, attempts := p.texts[textColumn(column)], p.numbers[sumColumns.attempts]
	for code, text := range l.texts {
		if !such(text) {
			continue
		}
		for i, g := range lines {
			if int(l.code(i)) == code {
				sums[g] += attempts.at(i)
			}
		}
	}
}

// outside puts the lines that the query doesn't ask for into a group of their own.
func outside(q billing.SpendQuery, p *Part, lines []uint32, group uint32) {
	drop := func(wanted func(i int) bool) {
		for i := range lines {
			if !wanted(i) {
				lines[i] = group
			}
		}
	}
	only := q.Only.Columns()
	if q.KeyID != "" {
		only = append(only, billing.SpendColumn{Name: "key_id", Value: string(q.KeyID)})
	}
	for _, c := range only {
		wanted := where(p, c.Name, []string{c.Value})
		drop(wanted)
	}
	if q.Within != nil {
		team, project := where(p, "team_id", q.Within.Teams), where(p, "project_id", q.Within.Projects)
		drop(func(i int) bool { return team(i) || project(i) })
	}
}

// where returns a function that reports whether a line has one of the texts in a column.
func where(p *Part, column string, texts []string) func(i int) bool {
	l := p.texts[textColumn(column)]
	wanted := make([]bool, len(l.texts))
	for code, text := range l.texts {
		wanted[code] = slices.Contains(texts, text)
	}
	return func(i int) bool { return wanted[l.code(i)] }
}

// groupLines numbers the groups of a part and assigns each line to its group. The texts of
// a group are those of the first of its lines.
func groupLines(g *grouping, p *Part, day string, lines []uint32) (groups int, key func(group int) string) {
	columns := make([]textList, len(g.sources))
	groups = 1
	for i, s := range g.sources {
		columns[i] = s.of(p, day)
		if columns[i].codes != nil {
			groups = combine(lines, groups, columns[i])
		}
	}
	first := make([]int, groups)
	for i := len(lines) - 1; i >= 0; i-- {
		first[lines[i]] = i
	}
	var b strings.Builder
	return groups, func(group int) string {
		b.Reset()
		for i, c := range columns {
			if i > 0 {
				b.WriteByte(keyEnd)
			}
			b.WriteString(c.at(first[group]))
		}
		return b.String()
	}
}

// keyEnd terminates each text of a group's key except the last; the byte never occurs in
// UTF-8.
const keyEnd = 0xff

// of returns the source's text for each line of a part; lines with the same text have the
// same code.
func (s source) of(p *Part, day string) textList {
	if s.column < 0 {
		if s.read != nil {
			day = s.read(day)
		}
		return textList{texts: []string{day}}
	}
	l := p.texts[s.column]
	if s.read == nil {
		return l
	}
	var read textList
	codes := make(map[string]uint32)
	to := make([]uint32, len(l.texts))
	for i, text := range l.texts {
		text = s.read(text)
		code, known := codes[text]
		if !known {
			code = uint32(len(read.texts))
			codes[text] = code
			read.texts = append(read.texts, text)
		}
		to[i] = code
	}
	if len(read.texts) > 1 {
		read.codes = make([]uint32, len(l.codes))
		for i, c := range l.codes {
			read.codes[i] = to[c]
		}
	}
	return read
}

// combine divides the groups of lines by one more column, and renumbers them.
func combine(lines []uint32, groups int, by textList) int {
	n := uint64(len(by.texts))
	if size := uint64(groups) * n; size <= 1<<16 {
		found := make([]uint32, size) // numbers start at 1
		next := uint32(0)
		for i, g := range lines {
			pair := &found[uint64(g)*n+uint64(by.codes[i])]
			if *pair == 0 {
				next++
				*pair = next
			}
			lines[i] = *pair - 1
		}
		return int(next)
	}
	found := make(map[uint64]uint32, len(lines))
	for i, g := range lines {
		pair := uint64(g)*n + uint64(by.codes[i])
		number, known := found[pair]
		if !known {
			number = uint32(len(found))
			found[pair] = number
		}
		lines[i] = number
	}
	return len(found)
}

// into adds the groups of a share to a report, which keeps only the first lines.
func (s *sums) into(report *billing.SpendReport, g *grouping) {
	for key, of := range s.groups {
		r := row(of)
		addRow(&report.Total, r)
		if len(g.sources) > 0 {
			r.Group = strings.Split(key, string([]byte{keyEnd}))
			for i, source := range g.sources {
				if source.shown != nil {
					r.Group[i] = source.shown(r.Group[i])
				}
			}
			report.Rows = append(report.Rows, r)
		}
		report.Lines++
	}
	slices.SortFunc(report.Rows, g.compare)
	report.Rows = slices.Clip(report.Rows[:min(len(report.Rows), g.query.Lines())])
}

// compare orders lines: by time if the query asks for it, then by cost.
func (g *grouping) compare(a, b billing.SpendRow) int {
	if g.query.Top == 0 {
		for i, s := range g.sources {
			if s.column < 0 && a.Group[i] != b.Group[i] {
				return strings.Compare(a.Group[i], b.Group[i])
			}
		}
	}
	if a.Cost != b.Cost {
		return cmp.Compare(b.Cost, a.Cost)
	}
	return slices.Compare(a.Group, b.Group)
}

// row returns the report line for these sums.
func row(of *[allSums]int64) (r billing.SpendRow) {
	r.Requests, r.Attempts, r.Errors = of[1], of[2], of[3]
	r.Tokens.Input, r.Tokens.CacheRead, r.Tokens.CacheWrite, r.Tokens.Output = of[4], of[5], of[6], of[7]
	r.Overrun, r.OverrunMoney = of[8], billing.Money(of[9])
	r.Cost = billing.Money(of[sumColumns.cost])
	r.Meters = billing.Cost{
		Input: billing.Money(of[10]), CacheRead: billing.Money(of[11]), CacheWrite: billing.Money(of[12]),
		Output: billing.Money(of[13]), Fee: billing.Money(of[14]), Total: r.Cost,
	}
	r.Savings = billing.Money(of[sumColumns.baseline]) - r.Cost
	r.CacheSavings = billing.Money(of[sumColumns.cacheSavings])
	r.Unpriced, r.NotExact = of[unpriced], of[notExact]
	return r
}

// addRow adds a line to a total.
func addRow(total *billing.SpendRow, r billing.SpendRow) {
	total.Requests += r.Requests
	total.Attempts += r.Attempts
	total.Errors += r.Errors
	total.Tokens = total.Tokens.Plus(r.Tokens)
	total.Overrun += r.Overrun
	total.OverrunMoney += r.OverrunMoney
	total.Cost += r.Cost
	total.Meters = total.Meters.Plus(r.Meters)
	total.Savings += r.Savings
	total.CacheSavings += r.CacheSavings
	total.Unpriced += r.Unpriced
	total.NotExact += r.NotExact
}
