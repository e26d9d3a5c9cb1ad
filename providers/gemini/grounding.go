package gemini

import (
	"strings"
	"unicode/utf8"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// cite adds the sources of an answer as URL citations. Google gives positions in the text in
// bytes, the OpenAI format in characters. The text of a stream is not kept, so there Google's
// numbers are passed on as they are.
func cite(m *translate.Message, text string, grounded []byte) {
	var chunks [][]byte
	for c := range jsonraw.Elements(jsonraw.Lookup(grounded, "groundingChunks")) {
		chunks = append(chunks, jsonraw.Lookup(c, "web"))
	}
	for support := range jsonraw.Elements(jsonraw.Lookup(grounded, "groundingSupports")) {
		var n translate.Counter
		start, end := n.At(support, "segment", "startIndex"), n.At(support, "segment", "endIndex")
		for index := range jsonraw.Elements(jsonraw.Lookup(support, "groundingChunkIndices")) {
			if i := n.Take(index); i < int64(len(chunks)) {
				m.Cite(translate.Citation{
					URL: jsonraw.Lookup(chunks[i], "uri"), Title: jsonraw.Lookup(chunks[i], "title"),
					Start: characters(text, start), End: characters(text, end),
				})
			}
		}
	}
}

// characters returns the number of characters in the first n bytes of a text.
func characters(text string, n int64) int64 {
	if n > int64(len(text)) {
		return n
	}
	return int64(utf8.RuneCountInString(strings.ToValidUTF8(text[:n], "")))
}

// searches collects what an answer was grounded on, over all its candidates and pieces.
type searches struct {
	queries     map[string]bool
	found, maps bool // a web page; a place
	stored      map[string]bool
}

func (s *searches) read(grounded []byte) {
	for _, list := range [...]string{"webSearchQueries", "imageSearchQueries"} {
		for q := range jsonraw.Elements(jsonraw.Lookup(grounded, list)) {
			note(&s.queries, q)
		}
	}
	for q := range jsonraw.Elements(jsonraw.Lookup(grounded, "retrievalQueries")) {
		note(&s.stored, q)
	}
	for c := range jsonraw.Elements(jsonraw.Lookup(grounded, "groundingChunks")) {
		s.found = s.found || jsonraw.Lookup(c, "web") != nil || jsonraw.Lookup(c, "image") != nil
		s.maps = s.maps || jsonraw.Lookup(c, "maps") != nil
	}
}

func note(set *map[string]bool, query []byte) {
	if len(query) <= len(`""`) {
		return
	}
	if *set == nil {
		*set = make(map[string]bool)
	}
	(*set)[string(query)] = true
}

// with returns the usage with the searches that are charged: up to Gemini 2, one for each
// prompt that was answered with any; since Gemini 3, each search.
func (s *searches) with(x providers.Exchange, u *translate.Usage) *translate.Usage {
	if u == nil {
		return nil
	}
	switch searched := len(s.queries) > 0 || s.found; {
	case searched && versionOf(x.Target.Upstream) < 300:
		u.Metered.Add(chat.MeterGrounding, 1)
	case searched:
		u.Metered.Add(chat.MeterWebSearch, int64(max(len(s.queries), 1)))
	}
	if s.maps {
		u.Metered.Add(chat.MeterMaps, 1)
	}
	u.Metered.Add(chat.MeterFileSearch, int64(len(s.stored)))
	return u
}
