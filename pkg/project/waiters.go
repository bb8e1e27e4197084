package project

import "container/heap"

// waiter waits for a sequence. result gets one value.
type waiter struct {
	sequence uint64
	place    int
	result   chan error
}

// waiters are ordered by sequence, the lowest first, so that each event wakes
// only those who waited for it.
type waiters []*waiter

// Len implements heap.Interface.
func (w waiters) Len() int { return len(w) }

// Less implements heap.Interface.
func (w waiters) Less(i, j int) bool { return w[i].sequence < w[j].sequence }

// Swap implements heap.Interface.
func (w waiters) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}

// Push implements heap.Interface.
func (w *waiters) Push(x any) {
	one, ok := x.(*waiter)
	if !ok {
		return
	}
	one.place = len(*w)
	*w = append(*w, one)
}

// Pop implements heap.Interface.
func (w *waiters) Pop() any {
	last := len(*w) - 1
	one := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	one.place = -1
	return one
}

func (w *waiters) add(sequence uint64) *waiter {
	one := &waiter{sequence: sequence, result: make(chan error, 1)}
	heap.Push(w, one)
	return one
}

func (w *waiters) remove(one *waiter) {
	if one.place >= 0 {
		heap.Remove(w, one.place)
	}
}

// reached wakes all who wait for sequence or less.
func (w *waiters) reached(sequence uint64) {
	for len(*w) > 0 && (*w)[0].sequence <= sequence {
		w.wakeFirst(nil)
	}
}

// fail wakes all with an error.
func (w *waiters) fail(err error) {
	for len(*w) > 0 {
		w.wakeFirst(err)
	}
}

func (w *waiters) wakeFirst(err error) {
	if one, ok := heap.Pop(w).(*waiter); ok {
		one.result <- err
	}
}
