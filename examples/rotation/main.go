// Rotation is a client that goes on through rotations of its key: on key_rotated it reads
// the key again from where the sink writes it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// client asks with the key of a file.
type client struct{ baseURL, keyFile, key string }

func (c *client) readKey() error {
	text, err := os.ReadFile(c.keyFile)
	c.key = strings.TrimSpace(string(text))
	return err
}

// answer is what is read of a completion, or of an error.
type answer struct {
	Choices []struct {
		Message struct {
			Content string `json:"content"`
		} `json:"message"`
	} `json:"choices"`
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func (c *client) chat(ctx context.Context, body string) (string, error) {
	status, a, err := c.send(ctx, body)
	if err == nil && status == http.StatusUnauthorized && a.Error.Code == "key_rotated" {
		if err = c.readKey(); err == nil {
			status, a, err = c.send(ctx, body)
		}
	}
	switch {
	case err != nil:
		return "", err
	case status != http.StatusOK || len(a.Choices) == 0:
		return "", errors.New(a.Error.Message)
	}
	return a.Choices[0].Message.Content, nil
}

func (c *client) send(ctx context.Context, body string) (status int, a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.baseURL+"/chat/completions", strings.NewReader(body))
	if err != nil {
		return 0, a, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, a, err
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, a, json.NewDecoder(resp.Body).Decode(&a)
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run asks once for each line.
func run(in io.Reader, out io.Writer) error {
	c := &client{baseURL: os.Getenv("TALLYROUTE_BASE_URL"), keyFile: os.Getenv("TALLYROUTE_KEY_FILE")}
	if c.keyFile == "" {
		_, err := fmt.Fprintln(out, "TALLYROUTE_KEY_FILE is not set: nothing to do")
		return err
	}
	if err := c.readKey(); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		text, err := c.chat(context.Background(), `{"model":"echo","messages":[{"role":"user","content":"Hello!"}]}`)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, text); err != nil {
			return err
		}
	}
	return nil
}
