package main

import (
	"fmt"
	"os"
	"path"
	"time"

	"github.com/containerd/containerd/oci"
)

// flood starts so many containers, makes the file that they wait for, and reads all they print, each stream in a
// goroutine of its own. It says how long that took from the file on.
func (p *peer) flood(id, file string, count int, size int64, signal string) (time.Duration, error) {
	all := make([]streams, count)
	name := func(number int) string { return fmt.Sprintf("%s-%d", id, number) }
	defer func() {
		os.Remove(signal)
		for number := range all {
			p.remove(name(number))
			if all[number].DirectIO != nil {
				all[number].Close() // a task that was looked up anew has no streams to close
			}
		}
	}()
	for number := range all {
		if err := p.begin(name(number), file, &all[number]); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	if err := os.WriteFile(signal, nil, 0o644); err != nil {
		return 0, err
	}
	for number := range all {
		all[number].readers.Wait()
	}
	elapsed := time.Since(began)
	for number := range all {
		if came := all[number].stdout.count; came != size {
			return 0, fmt.Errorf("%d bytes instead of %d", came, size)
		}
	}
	return elapsed, nil
}

// begin starts a container in a cgroup of its own, for the scheduler deals with groups.
func (p *peer) begin(id, file string, s *streams) error {
	var spec oci.Spec
	if err := load(file, &spec); err != nil {
		return err
	}
	spec.Linux.CgroupsPath = path.Join(path.Dir(spec.Linux.CgroupsPath), id)
	_, task, err := p.createFrom(&spec, id, p.creator(s))
	if err != nil {
		return err
	}
	return task.Start(p.ctx)
}
