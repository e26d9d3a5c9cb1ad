package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestClientsReadTheirKeyAgainWhenItWasRotated asks each client before and after.
func TestClientsReadTheirKeyAgainWhenItWasRotated(t *testing.T) {
	var good atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+good.Load().(string) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":{"code":"key_rotated","message":"The key was rotated."}}`)
			return
		}
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"hello"}}]}`)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "key")
	write := func(secret string) {
		good.Store(secret)
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TALLYROUTE_KEY_FILE", file)
	t.Setenv("TALLYROUTE_BASE_URL", server.URL)
	converse := func(t *testing.T, in io.WriteCloser, out io.Reader) {
		lines := bufio.NewScanner(out)
		for _, secret := range []string{"first", "second"} {
			write(secret)
			if _, err := io.WriteString(in, "\n"); err != nil {
				t.Fatal(err)
			}
			if !lines.Scan() || lines.Text() != "hello" {
				t.Fatalf("with the %s secret: %q", secret, lines.Text())
			}
		}
		_ = in.Close()
	}
	t.Run("go", func(t *testing.T) {
		write("first")
		questions, in := io.Pipe()
		out, answers := io.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- run(questions, answers)
			_ = answers.Close()
		}()
		converse(t, in, out)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for program, script := range map[string]string{"python3": "client.py", "node": "client.mjs"} {
		t.Run(program, func(t *testing.T) {
			if _, err := exec.LookPath(program); err != nil {
				t.Skip(program, "is not installed")
			}
			write("first")
			cmd := exec.CommandContext(t.Context(), program, script)
			var faults strings.Builder
			cmd.Stderr = &faults
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := cmd.Wait(); err != nil {
					t.Errorf("%v: %s", err, faults.String())
				}
			}()
			converse(t, in, out)
		})
	}
}
