// A peer for the benchmarks: container lives by containerd's own Go client. It reads commands, one a line, and
// answers each with a line: the nanoseconds that it took, or "error" and why.
//
//	life ID SPECFILE            a container from its creation to its deletion, with all output read
//	output ID SPECFILE BYTES    the same, for so many bytes of output
//	input ID SPECFILE BYTES     so many bytes into `wc -c`: from the first write to its exit and the end of its output
//	start ID SPECFILE           a container that stays, with no stdio
//	exec ID EXECID PROCESSFILE  a process in it, from its creation to its deletion, with all output read
//	remove ID                   its end
//	flood ID SPECFILE BYTES COUNT FILE
//	                            so many containers, each to print so many bytes once FILE is there: from its making to
//	                            the end of all outputs
//
// The files hold JSON: a container's OCI spec, and the process of one. What still runs at the end of stdin is removed.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd"
	"github.com/containerd/containerd/cio"
	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

type peer struct {
	ctx     context.Context
	client  *containerd.Client
	fifos   string
	running map[string]containerd.Task
}

// run starts a process (a task is one, too), feeds it, and waits for its exit and the end of its outputs. It says how
// long that took from the feeding on.
func (p *peer) run(process containerd.Process, s *streams) (time.Duration, error) {
	exit, err := process.Wait(p.ctx)
	if err != nil {
		return 0, err
	}
	if err := process.Start(p.ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := p.feed(process, s); err != nil {
		return 0, err
	}
	code, _, err := (<-exit).Result()
	if err != nil || code != 0 {
		return 0, fmt.Errorf("exit status %d (%v)", code, err)
	}
	s.readers.Wait()
	return time.Since(began), nil
}

func (p *peer) feed(process containerd.Process, s *streams) error {
	if s.stdin == 0 {
		return nil
	}
	chunk := bytes.Repeat([]byte("0123456789abcde\n"), 32<<10)
	for left := s.stdin; left > 0; left -= int64(len(chunk)) {
		if left < int64(len(chunk)) {
			chunk = chunk[:left]
		}
		if _, err := s.Stdin.Write(chunk); err != nil {
			return err
		}
	}
	s.Stdin.Close()
	// The shim keeps an end of its own open.
	return process.CloseIO(p.ctx, containerd.WithStdinCloser)
}

// create makes a container and its task.
func (p *peer) create(id, file string, creator cio.Creator) (containerd.Container, containerd.Task, error) {
	var spec oci.Spec
	if err := load(file, &spec); err != nil {
		return nil, nil, err
	}
	return p.createFrom(&spec, id, creator)
}

func (p *peer) createFrom(spec *oci.Spec, id string, creator cio.Creator) (containerd.Container, containerd.Task, error) {
	container, err := p.client.NewContainer(p.ctx, id,
		containerd.WithRuntime("io.containerd.runc.v2", nil), containerd.WithSpec(spec))
	if err != nil {
		return nil, nil, err
	}
	task, err := container.NewTask(p.ctx, creator)
	if err != nil {
		container.Delete(p.ctx)
	}
	return container, task, err
}

// life is a container's whole life; the time is that of its run.
func (p *peer) life(id, file string, s *streams) (time.Duration, error) {
	container, task, err := p.create(id, file, p.creator(s))
	if err != nil {
		return 0, err
	}
	elapsed, err := p.run(task, s)
	if err == nil {
		_, err = task.Delete(p.ctx)
	}
	if err != nil {
		p.remove(id)
		return 0, err
	}
	return elapsed, container.Delete(p.ctx)
}

// remove ends whatever there is of a container.
func (p *peer) remove(id string) error {
	delete(p.running, id)
	container, err := p.client.LoadContainer(p.ctx, id)
	if err != nil {
		return err
	}
	if task, err := container.Task(p.ctx, nil); err == nil {
		task.Delete(p.ctx, containerd.WithProcessKill)
	}
	return container.Delete(p.ctx)
}

func (p *peer) exec(task containerd.Task, id, file string) error {
	var spec specs.Process
	if err := load(file, &spec); err != nil {
		return err
	}
	s := &streams{}
	process, err := task.Exec(p.ctx, id, &spec, p.creator(s))
	if err != nil {
		return err
	}
	if _, err = p.run(process, s); err == nil {
		_, err = process.Delete(p.ctx)
	} else {
		process.Delete(p.ctx, containerd.WithProcessKill)
	}
	return err
}

func load(path string, into interface{}) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// measure does one command.
func (p *peer) measure(command string) (elapsed time.Duration, err error) {
	words := append(strings.Fields(command), "", "", "", "", "", "")
	id, file := words[1], words[2]
	size, _ := strconv.ParseInt(words[3], 10, 64)
	task, s := p.running[id], &streams{}
	began := time.Now()
	switch words[0] {
	case "life":
		_, err = p.life(id, file, s)
	case "output":
		if _, err = p.life(id, file, s); err == nil && s.stdout.count != size {
			err = fmt.Errorf("%d bytes instead of %d", s.stdout.count, size)
		}
	case "input":
		s.stdin = size
		elapsed, err = p.life(id, file, s)
		if said := string(s.stdout.head); err == nil && said != words[3]+"\n" {
			err = fmt.Errorf("wc says %q", said)
		}
		return elapsed, err
	case "flood":
		count, _ := strconv.Atoi(words[4])
		return p.flood(id, file, count, size, words[5])
	case "start":
		if _, task, err = p.create(id, file, cio.NullIO); err == nil {
			p.running[id] = task
			err = task.Start(p.ctx)
		}
	case "exec":
		if task == nil {
			return 0, fmt.Errorf("%q is not started", id)
		}
		err = p.exec(task, words[2], words[3])
	case "remove":
		err = p.remove(id)
	default:
		err = fmt.Errorf("unknown: %q", command)
	}
	return time.Since(began), err
}

func main() {
	address := flag.String("address", "/run/containerd/containerd.sock", "containerd's socket")
	namespace := flag.String("namespace", "bench-go", "containerd's namespace")
	fifos := flag.String("fifos", os.TempDir(), "where to make the FIFOs")
	flag.Parse()
	client, err := containerd.New(*address)
	if err != nil {
		log.Fatal(err)
	}
	ctx := namespaces.WithNamespace(context.Background(), *namespace)
	p := &peer{ctx: ctx, client: client, fifos: *fifos, running: map[string]containerd.Task{}}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if elapsed, err := p.measure(lines.Text()); err != nil {
			fmt.Printf("error %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println(elapsed.Nanoseconds())
		}
	}
	for id := range p.running {
		p.remove(id)
	}
}
