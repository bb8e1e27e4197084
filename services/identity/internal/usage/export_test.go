package usage

// Noted is how many tokens wait to be written.
func (r *Recorder) Noted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.used)
}
