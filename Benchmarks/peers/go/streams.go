package main

import (
	"io"
	"sync"

	"github.com/containerd/containerd/cio"
)

// streams are the FIFOs of a process and what was read from them.
type streams struct {
	*cio.DirectIO
	readers        sync.WaitGroup
	stdout, stderr counter
	stdin          int64 // so many bytes go in; without any there is no FIFO for it
}

// counter counts what is written to it and keeps the first of it. It has no ReadFrom, so that io.CopyBuffer uses the
// buffer that it is given.
type counter struct {
	count int64
	head  []byte
}

func (c *counter) Write(data []byte) (int, error) {
	if c.count == 0 {
		c.head = append(c.head, data...)
	}
	c.count += int64(len(data))
	return len(data), nil
}

// creator makes the FIFOs and starts to read the outputs.
func (p *peer) creator(s *streams) cio.Creator {
	return func(id string) (cio.IO, error) {
		set, err := cio.NewFIFOSetInDir(p.fifos, id, false)
		if err != nil {
			return nil, err
		}
		if s.stdin == 0 {
			set.Stdin = ""
		}
		if s.DirectIO, err = cio.NewDirectIO(p.ctx, set); err != nil {
			return nil, err
		}
		drain := func(to io.Writer, from io.Reader) {
			defer s.readers.Done()
			io.CopyBuffer(to, from, make([]byte, 32<<10)) // the size that cio's own copying has
		}
		s.readers.Add(2)
		go drain(&s.stdout, s.Stdout)
		go drain(&s.stderr, s.Stderr)
		return s.DirectIO, nil
	}
}
