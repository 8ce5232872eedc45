package main

import "sync/atomic"

// manyLink sends checks over several connections in turn.
type manyLink struct {
	links []*grpcLink
	next  atomic.Int64
}

func dialMany(n int, network, addr string) (*manyLink, error) {
	m := &manyLink{}
	for range n {
		l, err := dialGRPC(network, addr)
		if err != nil {
			m.close()
			return nil, err
		}
		m.links = append(m.links, l)
	}
	return m, nil
}

func (m *manyLink) send(r *request, s sent) error {
	l := m.links[int(m.next.Add(1))%len(m.links)]
	if err := l.send(r, s); err != nil {
		return err
	}
	return l.flush()
}

func (m *manyLink) flush() error {
	for _, l := range m.links {
		if err := l.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (m *manyLink) idle() bool { return false } // what is sent is flushed

func (m *manyLink) answers(done func(s sent, wrong error)) error {
	ended := make(chan error, len(m.links))
	for _, l := range m.links {
		go func() { ended <- l.answers(done) }()
	}
	return <-ended
}

func (m *manyLink) close() {
	for _, l := range m.links {
		l.close()
	}
}
