package translate_test

import (
	"testing"

	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/providers/translate"
)

// request reads a request with these members in addition to the model.
func request(t *testing.T, f translate.Format, members string) (*translate.Request, error) {
	t.Helper()
	r, err := chat.ParseRequest([]byte(`{"model":"m",` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	var got *translate.Request
	_, err = translate.Encode(providers.Exchange{Request: r}, f, func(r *translate.Request) ([]byte, error) {
		got = r
		return nil, nil
	})
	return got, err
}

func conversation(t *testing.T, messages string) (*translate.Request, error) {
	t.Helper()
	return request(t, translate.Format{Tools: true, Reasoning: true}, `"messages":`+messages)
}

func TestRead_Media(t *testing.T) {
	for name, c := range map[string]struct{ part, mime, data, url string }{
		"picture": {`{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}`, "image/png", "aGk=", ""},
		"of another type": {
			`{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,iVBORw0KGgo="}}`, "image/png", "iVBORw0KGgo=", "",
		},
		"document as a picture": {
			`{"type":"image_url","image_url":{"url":"data:image/png;base64,JVBERi0xLjcK"}}`, "application/pdf", "JVBERi0xLjcK", "",
		},
		"bare string": {`{"type":"image_url","image_url":"data:image/png;base64,aGk="}`, "image/png", "aGk=", ""},
		"upper case":  {`{"type":"image_url","image_url":{"url":"DATA:IMAGE/PNG;BASE64,aGk="}}`, "image/png", "aGk=", ""},
		"parameters": {
			`{"type":"image_url","image_url":{"url":"data:text/plain;charset=utf-8;base64,aGk="}}`, "text/plain",
			"aGk=", "",
		},
		"in percent":   {`{"type":"image_url","image_url":{"url":"data:text/plain,h%69"}}`, "text/plain", "aGk=", ""},
		"no type":      {`{"type":"image_url","image_url":{"url":"data:,hi"}}`, "text/plain", "aGk=", ""},
		"for URLs":     {`{"type":"image_url","image_url":{"url":"data:image/png;base64,-_-_aA"}}`, "image/png", "+/+/aA==", ""},
		"broken lines": {`{"type":"image_url","image_url":{"url":"data:image/png;base64,aG\nk="}}`, "image/png", "aGk=", ""},
		"escaped":      {`{"type":"image_url","image_url":{"url":"data:image\/png;base64,aGk\u003d"}}`, "image/png", "aGk=", ""},
		"elsewhere": {
			`{"type":"image_url","image_url":{"url":"https://a.example/b.WEBP?c=d.png"}}`, "image/webp", "",
			"https://a.example/b.WEBP?c=d.png",
		},
		"sound": {`{"type":"input_audio","input_audio":{"data":"aGk=","format":"mp3"}}`, "audio/mp3", "aGk=", ""},
		"sound of a URL": {
			`{"type":"input_audio","input_audio":{"data":"data:audio/flac;base64,aGk=","format":"wav"}}`, "audio/flac",
			"aGk=", "",
		},
		"file":              {`{"type":"file","file":{"file_data":"data:application/pdf;base64,aGk="}}`, "application/pdf", "aGk=", ""},
		"file by its name":  {`{"type":"file","file":{"filename":"a.csv","file_data":"aGk="}}`, "text/csv", "aGk=", ""},
		"file by its bytes": {`{"type":"file","file":{"file_data":"JVBERi0xLjcK"}}`, "application/pdf", "JVBERi0xLjcK", ""},
		"octets": {
			`{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/octet-stream;base64,aGk="}}`,
			"application/pdf", "aGk=", "",
		},
		"file elsewhere": {
			`{"type":"file","file":{"file_data":"https://a.example/b.pdf"}}`, "application/pdf", "",
			"https://a.example/b.pdf",
		},
		"document": {`{"type":"document_url","document_url":"https://a.example/b"}`, "", "", "https://a.example/b"},
		"film":     {`{"type":"video_url","video_url":{"url":"gs://a/b.mp4"}}`, "video/mp4", "", "gs://a/b.mp4"},
	} {
		t.Run(name, func(t *testing.T) {
			conv, err := conversation(t, `[{"role":"user","content":[`+c.part+`]}]`)
			if err != nil {
				t.Fatal(err)
			}
			m := conv.Turns[0].Parts[0].Media
			if m.MIME != c.mime || string(m.Data) != c.data || m.URL != c.url || m.Inline() != (c.data != "") {
				t.Errorf("%q, %q, %q", m.MIME, m.Data, m.URL)
			}
		})
	}
}
