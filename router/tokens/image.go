package tokens

import (
	"math/bits"
)

// The rules for images that Tokenizer.Images names.
const (
	imageTiles   = "openai-tile"
	imagePatches = "openai-patch"
)

// imageTokens is what a picture costs. Where its size is not known it is what
// any size may cost, and not exact; so it is for models without a rule.
func imageTokens(s size, detail string, t Tokenizer) (n int64, exact bool) {
	switch t.Images {
	case imageTiles:
		return tiles(s, detail, t.imagePercent()), s != size{} || detail == "low"
	case imagePatches:
		return scale(patches(s, detail), t.imagePercent()), s != size{} && detail != "low" && detail != "original"
	}
	return scale(dearest(s), t.imagePercent()), false
}

// tiles is OpenAI's rule for gpt-4o and its kin: 85 tokens, and unless the
// detail is low 170 for each square of 512 pixels, once the picture has been
// made to fit 2048 by 2048 and its short side 768. Other models of the family
// scale both figures: gpt-4o-mini has 2833 and 5667, o1 75 and 150, gpt-5 70 and
// 140. (OpenAI, guide "Images and vision", calculating costs.)
func tiles(s size, detail string, percent int64) int64 {
	base, tile := scale(85, percent), scale(170, percent)
	if detail == "low" {
		return base
	}
	if s == (size{}) {
		s = size{768, 2048}
	}
	if long := max(s.w, s.h); long > 2048 {
		s = size{ceilDiv(s.w*2048, long), ceilDiv(s.h*2048, long)}
	}
	if short := min(s.w, s.h); short > 768 {
		s = size{ceilDiv(s.w*768, short), ceilDiv(s.h*768, short)}
	}
	return base + ceilDiv(s.w, 512)*ceilDiv(s.h, 512)*tile
}

// patches is OpenAI's rule for gpt-4.1-mini and its kin: a token for each square
// of 32 pixels. A picture that has more than 1536 of them is shrunk until it has
// not, and then until one side is a whole number of them. Models scale the
// result: gpt-4.1-mini by 1.62, gpt-4.1-nano by 2.46. (Same source.)
func patches(s size, detail string) int64 {
	most := int64(1536)
	if detail == "original" { // not shrunk to that
		most = 10_000
	}
	if s == (size{}) {
		return most
	}
	if n := ceilDiv(s.w, 32) * ceilDiv(s.h, 32); n <= most {
		return n
	}
	w, h := max(1, root(most*s.w/s.h)), max(1, root(most*s.h/s.w))
	if w*s.h < h*s.w { // the width loses more by becoming whole
		h = ceilDiv(w*s.h, s.w)
	} else {
		w = ceilDiv(h*s.w, s.h)
	}
	return min(w*h, most)
}

// dearest is about the most that any model takes, but for the inflated figures
// of gpt-4o-mini: squares of 16 pixels with an end for each row of them
// (Pixtral), no less than 1600 (Claude, for anything large) and no more than
// 16,384 (Qwen).
func dearest(s size) int64 {
	const least, most = 1600, 16_384
	if s == (size{}) {
		return most
	}
	rows, columns := ceilDiv(s.h, 16), ceilDiv(s.w, 16)
	return min(max(rows*(columns+1), least), most)
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

// scale is percent of n, rounded up, saturating.
func scale(n, percent int64) int64 {
	hi, lo := bits.Mul64(uint64(n), uint64(percent))
	lo, carry := bits.Add64(lo, 99, 0)
	if hi+carry >= 50 {
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi+carry, lo, 100)
	return int64(q)
}

// root is the whole part of the square root of n, which is below 1<<40.
func root(n int64) int64 {
	r := int64(0)
	for bit := int64(1) << 20; bit > 0; bit >>= 1 {
		if (r+bit)*(r+bit) <= n {
			r += bit
		}
	}
	return r
}
