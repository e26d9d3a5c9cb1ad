// The official SDKs of OpenAI and Anthropic for Go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

var base, key, model = os.Getenv("BASE"), os.Getenv("KEY"), os.Getenv("MODEL")

const picture = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"

var parameters = map[string]any{
	"type": "object", "properties": map[string]any{"word": map[string]any{"type": "string"}}, "required": []string{"word"},
}

func main() {
	ctx := context.Background()
	for name, f := range map[string]func(context.Context) error{"responses": openAI, "messages": messages} {
		if err := f(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

func expect(what, got, want string) error {
	if !strings.Contains(got, want) {
		return fmt.Errorf("%s: %q has not %q", what, got, want)
	}
	return nil
}

func openAI(ctx context.Context) error {
	client := openai.NewClient(option.WithBaseURL(base+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
	ask := func(input responses.ResponseInputParam) (*responses.Response, error) {
		s := client.Responses.NewStreaming(ctx, responses.ResponseNewParams{
			Model: model, Input: responses.ResponseNewParamsInputUnion{OfInputItemList: input}, Store: openai.Bool(false),
			Include: []responses.ResponseIncludable{responses.ResponseIncludableReasoningEncryptedContent},
			Tools: []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{Name: "lookup", Parameters: parameters,
				Strict: openai.Bool(false)}}},
		})
		var done *responses.Response
		for s.Next() {
			if e := s.Current(); e.Type == "response.completed" {
				r := e.AsResponseCompleted().Response
				done = &r
			}
		}
		if s.Err() == nil && done == nil {
			return nil, fmt.Errorf("it never completed")
		}
		return done, s.Err()
	}
	user := func(text string) responses.ResponseInputParam {
		return responses.ResponseInputParam{responses.ResponseInputItemParamOfMessage(text, responses.EasyInputMessageRoleUser)}
	}
	r, err := ask(user("say pong"))
	if err != nil {
		return err
	}
	if err := expect("chat", r.OutputText(), "pong from"); err != nil {
		return err
	}
	input := user("use the tool [[loop]]")
	for {
		r, err := ask(input)
		if err != nil {
			return err
		}
		calls := 0
		for _, o := range r.Output {
			input = append(input, param.Override[responses.ResponseInputItemUnionParam](json.RawMessage(o.RawJSON())))
		}
		for _, o := range r.Output {
			if o.Type == "function_call" {
				calls++
				input = append(input, param.Override[responses.ResponseInputItemUnionParam](
					json.RawMessage(fmt.Sprintf(`{"type":"function_call_output","call_id":%q,"output":"found"}`,
						o.AsFunctionCall().CallID))))
			}
		}
		if calls == 0 {
			if err := expect("loop", r.OutputText(), "done after 10 results"); err != nil {
				return err
			}
			break
		}
	}
	seen, err := client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{
		Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
			openai.TextContentPart("[[image]]"), openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: picture}),
		})},
	})
	if err != nil {
		return err
	}
	if err := expect("image", seen.Choices[0].Message.Content, "images: 1"); err != nil {
		return err
	}
	_, err = client.Responses.New(ctx, responses.ResponseNewParams{
		Model: shared.ResponsesModel("nowhere"), Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("x")},
	})
	if e := (*openai.Error)(nil); !asError(err, &e) || e.Code != "model_not_found" {
		return fmt.Errorf("an unknown model is %v", err)
	}
	leaving, cancel := context.WithCancel(ctx)
	defer cancel()
	s := client.Responses.NewStreaming(leaving, responses.ResponseNewParams{
		Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("[[slow]]")},
	})
	if !s.Next() {
		return s.Err()
	}
	cancel()
	return s.Close()
}

func messages(ctx context.Context) error {
	client := anthropic.NewClient(anthropicoption.WithBaseURL(base), anthropicoption.WithAPIKey(key), anthropicoption.WithMaxRetries(0))
	schema := anthropic.ToolInputSchemaParam{Properties: parameters["properties"], Required: []string{"word"}}
	ask := func(list []anthropic.MessageParam) (m anthropic.Message, err error) {
		s := client.Messages.NewStreaming(ctx, anthropic.MessageNewParams{
			Model: anthropic.Model(model), MaxTokens: 4096, Messages: list, Thinking: anthropic.ThinkingConfigParamOfEnabled(2048),
			Tools: []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{Name: "lookup", InputSchema: schema}}},
		})
		for s.Next() {
			if err := m.Accumulate(s.Current()); err != nil {
				return m, err
			}
		}
		if s.Err() == nil && m.Usage.InputTokens == 0 {
			return m, fmt.Errorf("no usage")
		}
		return m, s.Err()
	}
	text := func(m anthropic.Message) (all string) {
		for _, b := range m.Content {
			all += b.Text
		}
		return all
	}
	m, err := ask([]anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("say pong"))})
	if err != nil {
		return err
	}
	if err := expect("chat", text(m), "pong from"); err != nil {
		return err
	}
	list := []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("use the tool [[loop]]"))}
	for {
		m, err := ask(list)
		if err != nil {
			return err
		}
		list = append(list, m.ToParam())
		var results []anthropic.ContentBlockParamUnion
		for _, b := range m.Content {
			if b.Type == "tool_use" {
				results = append(results, anthropic.NewToolResultBlock(b.ID, "found", false))
			}
		}
		if len(results) == 0 {
			if err := expect("loop", text(m), "done after 10 results"); err != nil {
				return err
			}
			break
		}
		list = append(list, anthropic.NewUserMessage(results...))
	}
	_, data, _ := strings.Cut(picture, ",")
	m, err = ask([]anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("[[image]]"),
		anthropic.NewImageBlockBase64("image/png", data))})
	if err != nil {
		return err
	}
	if err := expect("image", text(m), "images: 1"); err != nil {
		return err
	}
	count, err := client.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{
		Model: anthropic.Model(model), Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("how many?"))},
	})
	if err != nil || count.InputTokens == 0 {
		return fmt.Errorf("no count: %w", err)
	}
	leaving, cancel := context.WithCancel(ctx)
	defer cancel()
	s := client.Messages.NewStreaming(leaving, anthropic.MessageNewParams{
		Model: anthropic.Model(model), MaxTokens: 4096,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("[[slow]]"))},
	})
	if !s.Next() {
		return s.Err()
	}
	cancel()
	return s.Close()
}

func asError(err error, target **openai.Error) bool { return errors.As(err, target) }
