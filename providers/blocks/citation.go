package blocks

// Citation says that a part of an answer's text is drawn from a page of the web,
// the only kind of source that the OpenAI format has.
type Citation struct {
	URL, Title []byte // as JSON
	Start, End int    // of the text, in characters
}

// JSON is the citation as an element of annotations, nil where it has no URL.
func (c Citation) JSON() []byte {
	if Some(c.URL) == nil {
		return nil
	}
	if Some(c.Title) == nil {
		c.Title = c.URL
	}
	var w Writer
	w.Open('{')
	w.TextMember("type", "url_citation")
	w.Key("url_citation")
	w.Open('{')
	w.IntMember("start_index", int64(c.Start))
	w.IntMember("end_index", int64(c.End))
	w.Member("url", c.URL)
	w.Member("title", c.Title)
	w.Close('}')
	w.Close('}')
	return w.Bytes()
}
