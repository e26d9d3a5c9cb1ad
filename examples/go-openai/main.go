// Command go-openai talks to Tallyroute with sashabaranov/go-openai: two
// values change, the base URL and the key.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sashabaranov/go-openai"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config := openai.DefaultConfig(os.Getenv("OPENAI_API_KEY"))
	config.BaseURL = os.Getenv("OPENAI_BASE_URL")
	client := openai.NewClientWithConfig(config)
	request := openai.ChatCompletionRequest{
		Model:    model(),
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "Say hello to finance."}},
	}

	answer, err := client.CreateChatCompletion(ctx, request)
	if err != nil {
		return err
	}
	header := answer.Header()
	fmt.Println("answer:  ", answer.Choices[0].Message.Content)
	fmt.Println("provider:", header.Get("x-tallyroute-provider"), "cost:", header.Get("x-tallyroute-cost-usd"))
	fmt.Println("tokens left this minute:", answer.GetRateLimitHeaders().RemainingTokens)

	stream, err := client.CreateChatCompletionStream(ctx, request)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			fmt.Println()
			return nil
		}
		if err != nil {
			return err
		}
		if len(chunk.Choices) > 0 {
			fmt.Print(chunk.Choices[0].Delta.Content)
		}
	}
}

func model() string {
	if m := os.Getenv("MODEL"); m != "" {
		return m
	}
	return "auto"
}
