package providers

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
)

// reconsider finds failures that a provider tells like its own and that are about
// what was asked: no other request would meet them.
func (x Exchange) reconsider(e *Error) {
	message := strings.ToLower(e.Detail.Message)
	switch {
	case (e.Kind == KindRate || e.Kind == KindQuota) && tooLarge(message):
		e.Kind = KindLarge
	case e.Status == http.StatusUnauthorized:
	case (e.Kind == KindCredential || e.Kind == KindUnknown) && x.names(e.Detail.Message):
		e.Kind = KindRequest
	}
}

// tooLarge reports words that say that the request alone is more than is allowed at
// any time.
func tooLarge(message string) bool {
	for _, said := range [...]string{"request too large", "request is too large", "fewer max_tokens", "can only afford"} {
		if strings.Contains(message, said) {
			return true
		}
	}
	limit, ok := numberAfter(message, "limit")
	if !ok {
		return false
	}
	requested, ok := numberAfter(message, "requested")
	return ok && requested > limit
}

// numberAfter is the number that follows a word: "limit 8000", "limit: 8,000".
func numberAfter(text, word string) (int64, bool) {
	for {
		_, rest, found := strings.Cut(text, word)
		if !found {
			return 0, false
		}
		text = rest
		rest = strings.TrimLeft(rest, " :=")
		end := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != ',' })
		if end < 0 {
			end = len(rest)
		}
		if n, err := strconv.ParseInt(strings.ReplaceAll(rest[:end], ",", ""), 10, 64); err == nil {
			return n, true
		}
	}
}

// things are what requests name by an id that our account may not know, or not use.
var things = [...]string{
	"cached content", "cachedcontent", "cached_content", "the file ", "file id", "file object", "file_id", "files/", "file with",
	"vector store", "vector_store", "previous response", "previous_response", "conversation with", "prompt with", "prompt id",
	"container with", "storage object", "storage.objects", "s3://", "gs://", "bucket",
}

// mostNames bounds how many words of an error are looked for in a request.
const mostNames = 32

// names reports that an error is about a thing that the request names and that is not
// its model.
func (x Exchange) names(message string) bool {
	lower := strings.ToLower(message)
	for _, t := range things {
		if strings.Contains(lower, t) {
			return true
		}
	}
	if x.Request == nil {
		return false
	}
	body, left := x.Request.Body(), mostNames
	for word := range strings.FieldsFuncSeq(message, func(r rune) bool {
		return r > '~' || r <= ' ' ||
			strings.ContainsRune("\"'`()[]{}<>,;", r)
	}) {
		word = strings.Trim(word, ".:/!?")
		if !isID(word) || x.isModel(word) {
			continue
		}
		if left--; left < 0 {
			return false
		}
		if bytes.Contains(body, []byte(word)) {
			return true
		}
	}
	return false
}

// isID reports a word that is no word of a language.
func isID(word string) bool {
	return len(word) >= 6 && strings.ContainsAny(word, "0123456789_/:")
}

// isModel reports a word that is the model's name, or has it in it.
func (x Exchange) isModel(word string) bool {
	for _, name := range [...]string{x.Target.Upstream, x.Target.Model, x.Request.Model()} {
		if name != "" && (strings.Contains(word, name) || strings.Contains(name, word)) {
			return true
		}
	}
	return false
}
