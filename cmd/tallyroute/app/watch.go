package app

import (
	"context"
	"crypto/sha256"
	"io"
	"maps"
	"os"
	"time"
)

// watchEvery is how often it is looked whether a file has changed. What has changed
// is read when it is the same at the next look, so that no file is read that is
// half written.
const watchEvery = time.Second

// watch reloads when a file has changed, or at once when it is asked to, until ctx
// ends. It compares what files hold, whatever they are linked to: editors replace
// files, and Kubernetes swaps a link to the folder that they are in.
func (s *Service) watch(ctx context.Context) error {
	if s.From == nil {
		return nil
	}
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	read := digests(s.now().files) // what is in force, or was rejected, had these
	seen := read
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.Hangup:
			seen = digests(s.now().files)
		case <-t.C:
			before := seen
			seen = digests(s.now().files)
			if maps.Equal(seen, read) || !maps.Equal(seen, before) {
				continue
			}
		}
		read = seen
		again := s.reload(ctx)
		seen = digests(s.now().files)
		if read = only(read, seen); again {
			read = nil
		}
	}
}

// only is read for the files of now, with those that are new.
func only(read, now map[string]digest) map[string]digest {
	both := maps.Clone(now)
	for name := range now {
		if d, ok := read[name]; ok {
			both[name] = d // if it has changed meanwhile, it is read once more
		}
	}
	return both
}

// digest tells what is in a file from anything else that may be in it.
type digest [sha256.Size]byte

// mostDigested is far above the size of any file of a configuration.
const mostDigested = 8 << 20

// digests are those of the files with these names; zero of what is no file or cannot
// be read.
func digests(names []string) map[string]digest {
	all := make(map[string]digest, len(names))
	for _, name := range names {
		all[name] = digestOf(name)
	}
	return all
}

func digestOf(name string) (d digest) {
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return d
	}
	f, err := os.Open(name)
	if err != nil {
		return d
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, mostDigested)); err != nil {
		return d
	}
	return digest(sum.Sum(nil))
}
