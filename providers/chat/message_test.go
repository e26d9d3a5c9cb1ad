package chat_test

import (
	"fmt"
	"strings"
	"testing"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

// piecesOf writes all pieces of a request, one line each.
func piecesOf(r *chat.Request) string {
	kinds := map[chat.PieceKind]string{
		chat.PieceText: "text", chat.PieceToolCall: "call", chat.PieceImage: "image",
		chat.PieceAudio: "audio", chat.PieceFile: "file", chat.PieceMedia: "media", chat.PieceOther: "other",
	}
	var b strings.Builder
	for m := range r.Messages() {
		fmt.Fprintf(&b, "%s %s\n", []byte(m.Role), []byte(m.Name))
		for p := range m.Pieces() {
			fmt.Fprintf(&b, " %s %s text=%s name=%s detail=%s", kinds[p.Kind], p.Type, []byte(p.Text), []byte(p.Name), p.Detail)
			if p.DataURL() {
				b.WriteString(" data")
			}
			if p.Kind == chat.PieceOther {
				fmt.Fprintf(&b, " raw=%s", p.Raw)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func TestPieces(t *testing.T) {
	tests := []struct{ name, message, want string }{
		{"text", `{"content":"h\ni","role":"user","name":"bob"}`, "\"user\" \"bob\"\n text content text=\"h\\ni\" name= detail=\n"},
		{
			"nulls", `{"role":"assistant","content":null,"name":null,"refusal":null,"tool_calls":null,"cache_control":{"type":"x"}}`,
			"\"assistant\" \n",
		},
		{"reasoning and refusal", `{"role":"assistant","reasoning_content":"a","reasoning":"b","refusal":"c"}`, "\"assistant\" \n" +
			" text reasoning_content text=\"a\" name= detail=\n text reasoning text=\"b\" name= detail=\n text refusal text=\"c\" " +
			"name= detail=\n"},
		{
			"parts", `{"role":"user","content":[{"type":"text","text":"a"},{"type":"refusal","refusal":"b"},{"text":null,"type":"text"}]}`,
			"\"user\" \n" +
				" text text text=\"a\" name= detail=\n text refusal text=\"b\" name= detail=\n",
		},
		{"images", `{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x","detail":"high"}},` +
			`{"type":"image_url","image_url":"DATA:image/png;base64,AA"},{"type":"image_url",` +
			`"image_url":{"url":"\u0064\u0061\u0074\u0061\u003aimage"}}]}`, "\"user\" \n" +
			" image image_url text=\"https://x\" name= detail=high\n" +
			" image image_url text=\"DATA:image/png;base64,AA\" name= detail= data\n" +
			" image image_url text=\"\\u0064\\u0061\\u0074\\u0061\\u003aimage\" name= detail= data\n"},
		{"images and sounds that were made", `{"role":"assistant","content":"a","images":[{"type":"image_url",` +
			`"image_url":{"url":"data:image/png;` +
			`base64,AA"}}],"audio":{"id":"b","data":"AA","transcript":"c"}}`, "\"assistant\" \n text content text=\"a\" name= detail=\n" +
			" image image_url text=\"data:image/png;base64,AA\" name= detail= data\n media audio text=\"AA\" name= detail=\n"},
		{"audio and files", `{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}},` +
			`{"type":"file","file":{"filename":"a.pdf","file_data":"data:x"}},{"type":"file","file":{"file_id":"f1"}},{"type":"file",` +
			`"file":{}}]}`, "\"user\" \n" +
			" audio input_audio text=\"AA\" name= detail=wav\n file file text=\"data:x\" name=\"a.pdf\" detail= data\n" +
			" file file text=\"f1\" name= detail=\n file file text= name= detail=\n"},
		{"calls", `{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}},` +
			`{"type":"custom","custom":{"name":"g","input":"x"}},{"type":"new"},{"function":{"name":"h","arguments":{"a":1}}}],` +
			`"function_call":{"name":"i","arguments":""}}`, "\"assistant\" \n" +
			" call tool_calls text=\"{}\" name=\"f\" detail=\n call tool_calls text=\"x\" name=\"g\" detail=\n" +
			" other tool_calls text= name= detail= raw={\"type\":\"new\"}\n" +
			" other tool_calls text= name=\"h\" detail= raw={\"function\":{\"name\":\"h\",\"arguments\":{\"a\":1}}}\n" +
			" call function_call text=\"\" name=\"i\" detail=\n"},
		{"the rest", `{"role":"tool","tool_call_id":"c1","x":{"y":1},"content":[{"type":"video_url","video_url":{"url":"v"},` +
			`"cache_control":{}}]}`, "\"tool\" \n" +
			" other tool_call_id text= name= detail= raw=\"c1\"\n other x text= name= detail= raw={\"y\":1}\n" +
			" media video_url text=\"v\" name= detail=\n"},
		{"as providers have them", `{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png",` +
			`"data":"AA"}},` +
			`{"type":"document","source":{"type":"text","media_type":"text/plain","data":"words"}},{"type":"",` +
			`"inlineData":{"mimeType":"audio/flac","data":"BB"}},` +
			`{"type":"","image":{"format":"png","source":{"bytes":"CC"}}},{"type":"input_file","file_id":"f1"},` +
			`{"type":"tool_result","content":[{"type":"image","source":{"type":"url","url":"https://x"}}]}]}`, "\"user\" \n" +
			" media image text=\"AA\" name= detail=image/png\n" +
			" other document text= name= detail= raw={\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"words\"}\n" +
			" media inlineData text=\"BB\" name= detail=audio/flac\n media image text=\"CC\" name= detail=png\n" +
			" media file_id text=\"f1\" name= detail=\n media image text=\"https://x\" name= detail=\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := parse(t, `{"messages": [ `+tt.message+` ],"model":"m"}`)
			if got := piecesOf(r); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
			moved, err := r.Edit([]jsonraw.Member{set("model", `"longer"`)}, "x")
			if err != nil || piecesOf(moved) != tt.want {
				t.Errorf("after an edit: %v\n%s", err, piecesOf(moved))
			}
			for m := range moved.Messages() {
				if string(m.Raw) != tt.message {
					t.Errorf("raw %s", m.Raw)
				}
			}
		})
	}
}

func TestIterationMayStop(t *testing.T) {
	r := parse(t, `{"model":"m","messages":[{"role":"a","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}],"refusal":"z"},`+
		`{"role":"b"}]}`)
	n := 0
	for m := range r.Messages() {
		for range m.Pieces() {
			n++
			break
		}
		break
	}
	if n != 1 {
		t.Error(n)
	}
}

// A prompt is bounded by its bytes only if it is known to contain nothing but text.
func TestWhateverMayBeMediaIsSeen(t *testing.T) {
	parts := []string{
		`{"type":"image_url","image_url":{"url":"https://e.example/a.png"}}`, `{"type":"text","image_url":"https://e.example/a.png"}`,
		`{"type":"text","content":[{"type":"image","source":{"data":"aGk="}}]}`, `{"type":"file"}`,
		`{"type":"text","file":{"file_id":"f"}}`, `{"type":"text","\u0073ource":{"data":"aGk="}}`,
	}
	for _, member := range []string{
		"source", "inline_data", "inlineData", "file_data", "fileData", "image", "document", "video", "audio", "file_url", "file_id",
		"video_url", "document_url", "input_image", "input_file", "input_video", "input_audio",
	} {
		parts = append(parts, `{"type":"text","`+member+`":{"data":"aGk=","url":"https://e.example/a.png"}}`)
	}
	may := func(message string) bool {
		r, err := chat.ParseRequest([]byte(`{"model":"m","messages":[` + message + `]}`))
		if err != nil {
			t.Fatalf("%s: %v", message, err)
		}
		return r.MayHoldMedia()
	}
	for _, part := range parts {
		if !may(`{"role":"user","content":[` + part + `]}`) {
			t.Errorf("%s is taken for text", part)
		}
	}
	for _, content := range []string{`"image_url source bytes"`, `[{"type":"text","text":"\"file\" _url inlineData","cache_control":{}}]`} {
		if may(`{"role":"user","content":` + content + `}`) {
			t.Errorf("%s may hold media", content)
		}
	}
}
