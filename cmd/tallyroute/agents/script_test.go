package agents

import (
	"fmt"
	"strings"
	"time"

	"tallyroute/providers/scripted"
)

// rounds is how often the model asks for tools before it is content; it asks for two at once.
const rounds = 5

// proof returns the signature of a round's reasoning, which the model must get back.
func proof(round int) string { return fmt.Sprintf("c2lnbmF0dXJlLW9mLXJvdW5kLQ==%dA", round) }

// proves are the formats whose models need that.
var proves = map[string]bool{"anthropic": true, "bedrock-invoke": true, "bedrock": true, "responses": true, "gemini": true}

// script answers by the words that a prompt has.
func script(t scripted.Turn) scripted.Reply {
	switch {
	case t.Says("[[loop]]"):
		return loop(t)
	case t.Says("[[image]]"):
		return scripted.Reply{Text: fmt.Sprintf("images: %d.", t.Images)}
	case t.Says("[[look]]"):
		return look(t)
	case t.Says("[[slow]]"):
		return scripted.Reply{Text: strings.Repeat("slowly ", 20), Pause: time.Second}
	}
	return scripted.Reply{Text: "pong from " + t.Format}
}

// loop asks for two calls at once, five times, and tells whether it has seen again what it
// thought in the round before.
func loop(t scripted.Turn) scripted.Reply {
	round := t.Results / 2
	if proves[t.Format] && round > 0 && !t.Says(proof(round-1)) {
		return scripted.Reply{Text: fmt.Sprintf("LOST what was thought in round %d", round-1)}
	}
	if round >= rounds {
		return scripted.Reply{Text: fmt.Sprintf("done after %d results.", t.Results)}
	}
	r := scripted.Reply{Thought: fmt.Sprintf("I think, round %d.", round), Proof: proof(round)}
	for _, side := range []string{"left", "right"} {
		r.Calls = append(r.Calls, call(t, fmt.Sprintf("%s%d", side, round)))
	}
	return r
}

// call returns a call of whichever tool the client has.
func call(t scripted.Turn, word string) scripted.Call {
	c := scripted.Call{ID: "call_" + word, Name: "lookup", Arguments: fmt.Sprintf(`{"word":%q}`, word)}
	for _, own := range []struct{ name, arguments string }{
		{"exec_command", `{"cmd":"echo %s"}`},
		{"shell_command", `{"command":"echo %s"}`},
		{"shell", `{"command":["echo","%s"]}`},
		{"Bash", `{"command":"echo %s","description":"say it"}`},
		{"bash", `{"command":"echo %s","description":"say it"}`},
	} {
		if t.Says(`"name":"` + own.name + `"`) {
			c.Name, c.Arguments = own.name, fmt.Sprintf(own.arguments, word)
			return c
		}
	}
	return c
}

// look has the client read a picture.
func look(t scripted.Turn) scripted.Reply {
	if t.Results > 0 {
		return scripted.Reply{Text: fmt.Sprintf("images: %d.", t.Images)}
	}
	_, file, _ := strings.Cut(string(t.Body), "[[look]] ")
	file = file[:strings.IndexAny(file+`"`, " \"\\\n")]
	return scripted.Reply{Calls: []scripted.Call{{ID: "call_look", Name: "Read", Arguments: fmt.Sprintf(`{"file_path":%q}`, file)}}}
}
