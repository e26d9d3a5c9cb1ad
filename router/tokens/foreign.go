package tokens

// foreign is how many tokens text may have, in a vocabulary that is not known, beyond
// what a scaled count of its words says: older vocabularies write much by single bytes
// that o200k_base has whole. These are other letters than those of ASCII, digits,
// blanks that follow each other, and signs. No tokenizer makes more than one token of
// a byte.
func foreign(text []byte) (n int64) {
	last := byte(' ')
	for _, c := range text {
		switch {
		case 'a' <= c && c <= 'z':
		case 'A' <= c && c <= 'Z':
			if 'A' <= last && last <= 'Z' { // words in capitals are rare in any vocabulary
				n++
			}
		case c == ' ' && last != ' ':
		default:
			n++
		}
		last = c
	}
	return n
}
