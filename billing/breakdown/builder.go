package breakdown

// Builder builds parts from rows, merging rows that are alike into one line.
type Builder struct {
	flush func(*Part) error
	daily bool // only what the rollup has
	most  int  // maximum number of lines in a part
	part  *Part
	codes [len(texts)]map[string]uint32
	lines map[[len(texts)]uint32]int
	Rows  int64 // number added
}

// NewBuilder returns a builder that calls flush for every full part, and for the last one.
func NewBuilder(flush func(*Part) error) *Builder { return &Builder{flush: flush, most: partLines} }

// begin starts an empty part.
func (b *Builder) begin() {
	b.part = &Part{daily: b.daily}
	for i := range b.codes {
		b.codes[i] = make(map[string]uint32)
	}
	for i := range b.part.numbers {
		b.part.numbers[i].each = []int64{}
	}
	b.lines = make(map[[len(texts)]uint32]int)
}

// Add adds rows that are alike. Tags are a JSON object.
func (b *Builder) Add(l *Line) error {
	if b.part == nil {
		b.begin()
	}
	p := b.part
	var key [len(texts)]uint32
	for i, s := range l.Texts {
		if b.daily && i >= ofRollup {
			break
		}
		code, known := b.codes[i][s]
		if !known {
			code = uint32(len(p.texts[i].texts))
			b.codes[i][s] = code
			if i == len(texts)-1 && s != archived {
				var err error
				if s, err = packTags(s); err != nil {
					return err
				}
			}
			p.texts[i].texts = append(p.texts[i].texts, s)
		}
		key[i] = code
	}
	at, known := b.lines[key]
	if !known {
		at = p.lines
		b.lines[key] = at
		p.lines++
		for i := range key {
			p.texts[i].codes = append(p.texts[i].codes, key[i])
		}
		for i := range p.numbers {
			p.numbers[i].each = append(p.numbers[i].each, 0)
		}
	}
	for i, n := range l.Numbers {
		p.numbers[i].each[at] += n
	}
	b.Rows += l.Numbers[0]
	if p.lines == b.most {
		return b.Close()
	}
	return nil
}

// Close flushes what was added last.
func (b *Builder) Close() error {
	if b.part == nil {
		return nil
	}
	p := b.part
	b.part = nil
	return b.flush(p)
}
