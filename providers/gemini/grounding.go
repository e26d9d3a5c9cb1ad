package gemini

import (
	"strings"
	"unicode/utf8"

	"tallyroute/providers/jsonraw"
	"tallyroute/providers/translate"
)

// cite tells the sources of an answer as citations of URLs. Google counts a place in
// the text in bytes, the OpenAI format in characters. Of a stream the text is not kept,
// and so Google's numbers stay.
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

// characters is how many characters the first so many bytes of a text are.
func characters(text string, n int64) int64 {
	if n > int64(len(text)) {
		return n
	}
	return int64(utf8.RuneCountInString(strings.ToValidUTF8(text[:n], "")))
}
