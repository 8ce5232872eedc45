package controller

import (
	"container/list"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// lanes orders what is to be looked at: objects that were changed a moment ago come first. Where a replica goes, or a policy changes
// that 100,000 tokens use, all of them are looked at, and a new token does not wait for that.
type lanes struct {
	mu      sync.Mutex
	patient map[string]bool // is to go into the second lane
	first   list.List
	second  list.List
	waits   map[string]*list.Element // of the second lane, by their items
}

func newLanes() *lanes { return &lanes{patient: map[string]bool{}, waits: map[string]*list.Element{}} }

// newQueue makes a queue with the lanes.
func newQueue(l *lanes) queue {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 30*time.Second)
	ordered := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[string]{Queue: l})
	delaying := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[string]{Queue: ordered})
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[string]{DelayingQueue: delaying})
}

// choose says into which lane an item goes that is added next.
func (l *lanes) choose(item string, patient bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if patient {
		l.patient[item] = true
	} else {
		delete(l.patient, item)
	}
}

// Push adds an item.
func (l *lanes) Push(item string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.patient[item] {
		delete(l.patient, item)
		l.waits[item] = l.second.PushBack(item)
		return
	}
	l.first.PushBack(item)
}

// Touch adds an item again that waits already. It moves to the first lane where it is to go there now.
func (l *lanes) Touch(item string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.waits[item]; at != nil && !l.patient[item] {
		l.second.Remove(at)
		delete(l.waits, item)
		l.first.PushBack(item)
	}
	delete(l.patient, item)
}

// Len is how many items wait.
func (l *lanes) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first.Len() + l.second.Len()
}

// Pop takes the next item out.
func (l *lanes) Pop() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if front := l.first.Front(); front != nil {
		return l.first.Remove(front).(string)
	}
	item := l.second.Remove(l.second.Front()).(string)
	delete(l.waits, item)
	return item
}
