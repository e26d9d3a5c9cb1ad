package responses

import (
	"fmt"

	"tallyroute/providers/chat"
	"tallyroute/providers/jsonraw"
)

func wrong(param, must string) error {
	return &chat.FieldError{Code: "invalid_value", Param: param, Message: must}
}

func unsupported(param, message string) error {
	return &chat.FieldError{Code: "unsupported_parameter", Param: param, Message: message}
}

// content returns the content of a message in the chat format: a string, or parts.
func (a *aside) content(raw []byte, at string) ([]byte, error) {
	if jsonraw.IsNull(raw) {
		return []byte(`""`), nil
	}
	if jsonraw.IsString(raw) {
		return raw, nil
	}
	if !jsonraw.IsArray(raw) {
		return nil, wrong(at, "must be a string or a list of parts")
	}
	var parts [][]byte
	i := 0
	for raw := range jsonraw.Elements(raw) {
		if err := a.room.Take(at); err != nil {
			return nil, err
		}
		p, err := part(raw, fmt.Sprintf("%s[%d]", at, i))
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
		i++
	}
	return jsonraw.Array(parts), nil
}

func part(raw []byte, at string) ([]byte, error) {
	var o jsonraw.Object
	switch kind := jsonraw.Text(jsonraw.Lookup(raw, "type")); kind {
	case "input_text", "output_text", "text", "summary_text", "reasoning_text":
		text := jsonraw.Lookup(raw, "text")
		if !jsonraw.IsString(text) {
			return nil, wrong(at+".text", "must be a string")
		}
		o.Text("type", "text")
		o.Raw("text", text)
	case "refusal":
		o.Text("type", "refusal")
		o.Raw("refusal", jsonraw.Lookup(raw, "refusal"))
	case "input_image", "computer_screenshot":
		if url := jsonraw.Lookup(raw, "image_url"); jsonraw.IsString(url) {
			var image jsonraw.Object
			image.Raw("url", url)
			image.Raw("detail", jsonraw.Present(jsonraw.Lookup(raw, "detail")))
			o.Text("type", "image_url")
			o.Raw("image_url", image.Bytes())
			break
		}
		return nil, unsupported(at, "must hold the image or its URL in image_url: a chat cannot name an image by its file_id")
	case "input_file":
		if url := jsonraw.Lookup(raw, "file_url"); jsonraw.IsString(url) {
			o.Text("type", "document_url")
			o.Raw("document_url", jsonraw.One("url", url))
			break
		}
		var file jsonraw.Object
		for _, name := range []string{"file_id", "file_data", "filename"} {
			file.Raw(name, jsonraw.Present(jsonraw.Lookup(raw, name)))
		}
		o.Text("type", "file")
		o.Raw("file", file.Bytes())
	case "input_audio":
		o.Text("type", "input_audio")
		o.Raw("input_audio", jsonraw.Lookup(raw, "input_audio"))
	default:
		return nil, unsupported(at+".type", fmt.Sprintf("%q is not a known kind of content", kind))
	}
	return o.Bytes(), nil
}
