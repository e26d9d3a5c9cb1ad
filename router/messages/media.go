package messages

import (
	"cmp"
	"encoding/base64"

	"tallyroute/providers/jsonraw"
)

// picture writes an image block as a part of a chat message.
func (m *message) picture(block []byte) error {
	url, err := m.source(jsonraw.Lookup(block, "source"), "source")
	if err != nil {
		return err
	}
	m.part("image_url", func(o *jsonraw.Object) { o.Raw("image_url", jsonraw.One("url", jsonraw.Quote(url))) }, block)
	return nil
}

// document writes a document block. One that is to be cited, or is made of blocks, can
// be said in Anthropic's own words alone.
func (m *message) document(block []byte) error {
	source := jsonraw.Lookup(block, "source")
	cited := string(jsonraw.Lookup(block, "citations", "enabled")) == "true"
	kind := jsonraw.Text(jsonraw.Lookup(source, "type"))
	if cited || kind == "content" || jsonraw.Present(jsonraw.Lookup(block, "context")) != nil {
		m.native(block)
		return nil
	}
	var file jsonraw.Object
	name := jsonraw.Text(jsonraw.Lookup(block, "title"))
	switch kind {
	case "file":
		file.Raw("file_id", jsonraw.Lookup(source, "file_id"))
	case "url":
		url := jsonraw.Lookup(source, "url")
		m.part("document_url", func(o *jsonraw.Object) { o.Raw("document_url", jsonraw.One("url", url)) }, block)
		return nil
	case "text":
		text := base64.StdEncoding.EncodeToString([]byte(jsonraw.Text(jsonraw.Lookup(source, "data"))))
		file.Text("file_data", "data:text/plain;base64,"+text)
		name = cmp.Or(name, "document.txt")
	default:
		url, err := m.source(source, "source")
		if err != nil {
			return err
		}
		file.Text("file_data", url)
		name = cmp.Or(name, "document.pdf")
	}
	file.Some("filename", name)
	m.part("file", func(o *jsonraw.Object) { o.Raw("file", file.Bytes()) }, block)
	return nil
}

// source is a URL of what a source names, with the bytes in it where they come along.
func (m *message) source(source []byte, member string) (string, error) {
	switch jsonraw.Text(jsonraw.Lookup(source, "type")) {
	case "base64":
		kind, data := jsonraw.Text(jsonraw.Lookup(source, "media_type")), jsonraw.Text(jsonraw.Lookup(source, "data"))
		if kind == "" {
			return "", m.wrong(member+".media_type", "must say what the data is, such as image/png")
		}
		return "data:" + kind + ";base64," + data, nil
	case "url":
		if url := jsonraw.Text(jsonraw.Lookup(source, "url")); url != "" {
			return url, nil
		}
	case "file":
		return "", m.wrong(member, "must hold the data or a URL: files of an account can be named in documents alone")
	}
	return "", m.wrong(member, `must be of the type "base64" or "url"`)
}
