// Command openai-go talks to Tallyroute with OpenAI's own Go library, which
// reads OPENAI_BASE_URL and OPENAI_API_KEY by itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	client := openai.NewClient()
	params := openai.ChatCompletionNewParams{
		Model:    model(),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Say hello to finance.")},
	}

	var response *http.Response
	answer, err := client.Chat.Completions.New(ctx, params, option.WithResponseInto(&response))
	if err != nil {
		return err
	}
	fmt.Println("answer:  ", answer.Choices[0].Message.Content)
	fmt.Println("provider:", response.Header.Get("x-tallyroute-provider"), "cost:", response.Header.Get("x-tallyroute-cost-usd"))

	stream := client.Chat.Completions.NewStreaming(ctx, params)
	for stream.Next() {
		if chunk := stream.Current(); len(chunk.Choices) > 0 {
			fmt.Print(chunk.Choices[0].Delta.Content)
		}
	}
	fmt.Println()
	if err := stream.Err(); err != nil {
		return err
	}

	params.Model = "no-such-model"
	var refused *openai.Error
	if _, err := client.Chat.Completions.New(ctx, params); !errors.As(err, &refused) {
		return fmt.Errorf("expected a refusal, got %w", err)
	}
	fmt.Println("refused: ", refused.StatusCode, refused.Code, refused.Message)
	return nil
}

func model() string {
	if m := os.Getenv("MODEL"); m != "" {
		return m
	}
	return "auto"
}
