package blocks

import "tallyroute/providers/jsonraw"

// Kind says what a Block is.
type Kind uint8

// The kinds.
const (
	Text     Kind = iota // Text
	Image                // Media
	Document             // Media
	Audio                // Media
	Video                // Media
	Call                 // ID, Name, Input: a tool call of the assistant
	Result               // ID, Parts: what a tool gave back
	Thinking             // Text, Signature, Format: reasoning as it was given out
	Redacted             // Text: opaque data; Format
	Native               // Raw: a part of no kind that the OpenAI format has
	nothing              // a picture or a file without a byte in it
)

// Block is one piece of a turn.
type Block struct {
	Kind      Kind
	Text      jsonraw.Quoted // as JSON
	ID        string
	Name      jsonraw.Quoted // as JSON
	Input     []byte         // a JSON object
	Signature jsonraw.Quoted // nil where there is none
	Format    string         // whose reasoning it is, such as "anthropic-claude-v1"; "" is not said
	Media     Media
	Parts     []Block
	Failed    bool   // of a Result: the tool says that it could not do it
	Type      string // of a Native part
	Raw       []byte
	Cache     []byte // the cache_control that the client set here; nil for none
	Param     string // where it stands in the request
}

// Media is an image, a document, audio or video, by value or by reference.
type Media struct {
	Type   string // such as image/png; "" where the client does not say
	Data   []byte // base64, where it comes by value
	URL    string // where it comes by reference
	FileID string // of the provider's own store of files
	Name   string // of a file
}

// Turn is what one side says before the other does.
type Turn struct {
	Assistant bool
	Blocks    []Block
}

// Conversation is the messages of a request.
type Conversation struct {
	System []Block // Text alone
	Turns  []Turn  // user and assistant take turns; none is empty
	Lost   []string
}

// Calls reports whether there are tool calls or results in the conversation.
func (c *Conversation) Calls() bool {
	for _, t := range c.Turns {
		for _, b := range t.Blocks {
			if b.Kind == Call || b.Kind == Result {
				return true
			}
		}
	}
	return false
}

// CallNames are the names of all tools that were called, each once.
func (c *Conversation) CallNames() []jsonraw.Quoted {
	var names []jsonraw.Quoted
	seen := make(map[string]bool)
	for _, t := range c.Turns {
		for _, b := range t.Blocks {
			if b.Kind == Call && !seen[b.Name.String()] {
				seen[b.Name.String()] = true
				names = append(names, b.Name)
			}
		}
	}
	return names
}

// Unfinished reports an assistant's turn that waits for the results of its tool
// calls, or just got them, and of which the reasoning is not there.
func (c *Conversation) Unfinished() bool {
	for i := len(c.Turns) - 1; i >= 0; i-- {
		t := c.Turns[i]
		if t.Assistant {
			return t.has(Call) && !t.has(Thinking) && !t.has(Redacted)
		}
		if !t.has(Result) {
			return false
		}
	}
	return false
}

func (t Turn) has(k Kind) bool {
	for _, b := range t.Blocks {
		if b.Kind == k {
			return true
		}
	}
	return false
}

// add puts blocks at the end, into the last turn if it is of the same side.
func (c *Conversation) add(t Turn) {
	if len(t.Blocks) == 0 {
		return
	}
	if n := len(c.Turns); n > 0 && c.Turns[n-1].Assistant == t.Assistant {
		c.Turns[n-1].Blocks = append(c.Turns[n-1].Blocks, t.Blocks...)
		return
	}
	c.Turns = append(c.Turns, t)
}

func (c *Conversation) lose(what string) {
	for _, l := range c.Lost {
		if l == what {
			return
		}
	}
	c.Lost = append(c.Lost, what)
}
