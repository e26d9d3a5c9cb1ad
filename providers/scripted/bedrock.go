package scripted

import (
	"bytes"
	"encoding/base64"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

const frames = "application/vnd.amazon.eventstream"

// frame returns one frame of an AWS event stream: an event or an exception.
func frame(kind, name string, v any) []byte {
	m := eventstream.Message{Payload: marshal(v)}
	m.Headers.Set(":message-type", eventstream.StringValue(kind))
	m.Headers.Set(":"+kind+"-type", eventstream.StringValue(name))
	m.Headers.Set(":content-type", eventstream.StringValue("application/json"))
	var out bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&out, m); err != nil {
		panic("scripted: " + err.Error()) // writing to memory cannot fail
	}
	return out.Bytes()
}

func amazonBroken(any) [][]byte {
	return [][]byte{frame("exception", "modelStreamErrorException", object{"message": failed})}
}

func invoke() format {
	return format{
		name: "invoke", kind: frames, whole: message, fail: object{"message": failed}, broken: amazonBroken,
		stream: func(a answer) (list [][]byte) {
			for _, e := range messageEvents(a) {
				list = append(list, frame("event", "chunk", object{"bytes": base64.StdEncoding.EncodeToString(marshal(e))}))
			}
			return list
		},
	}
}

func converse() format {
	return format{
		name: "converse", kind: frames, whole: conversed, stream: converseFrames, fail: object{"message": failed}, broken: amazonBroken,
	}
}

func converseUsage(u Usage) object {
	return object{
		"inputTokens": u.Prompt - u.Cached, "cacheReadInputTokens": u.Cached, "cacheWriteInputTokens": 0, "outputTokens": u.Output,
		"totalTokens": u.Prompt + u.Output,
	}
}

func conversed(a answer) any {
	var content []any
	if a.Thought != "" {
		content = append(content, object{"reasoningContent": object{"reasoningText": object{"text": a.Thought, "signature": a.Proof}}})
	}
	if a.Text != "" {
		content = append(content, object{"text": a.Text})
	}
	for _, c := range a.Calls {
		content = append(content, object{"toolUse": object{"toolUseId": c.ID, "name": c.Name, "input": arguments(c)}})
	}
	return object{
		"output": object{"message": object{"role": "assistant", "content": content}}, "stopReason": a.finish("end_turn", "tool_use"),
		"usage": converseUsage(a.usage), "metrics": object{"latencyMs": 1},
	}
}

func converseFrames(a answer) (list [][]byte) {
	add := func(name string, v object) { list = append(list, frame("event", name, v)) }
	add("messageStart", object{"role": "assistant"})
	index := 0
	delta := func(v object) { add("contentBlockDelta", object{"contentBlockIndex": index, "delta": v}) }
	stop := func() {
		add("contentBlockStop", object{"contentBlockIndex": index})
		index++
	}
	if a.Thought != "" {
		for _, p := range pieces(a.Thought) {
			delta(object{"reasoningContent": object{"text": p}})
		}
		delta(object{"reasoningContent": object{"signature": a.Proof}})
		stop()
	}
	if a.Text != "" {
		for _, p := range pieces(a.Text) {
			delta(object{"text": p})
		}
		stop()
	}
	for _, c := range a.Calls {
		add("contentBlockStart", object{
			"contentBlockIndex": index, "start": object{"toolUse": object{"toolUseId": c.ID, "name": c.Name}},
		})
		for _, p := range pieces(c.Arguments) {
			delta(object{"toolUse": object{"input": p}})
		}
		stop()
	}
	add("messageStop", object{"stopReason": a.finish("end_turn", "tool_use")})
	add("metadata", object{"usage": converseUsage(a.usage), "metrics": object{"latencyMs": 1}})
	return list
}
