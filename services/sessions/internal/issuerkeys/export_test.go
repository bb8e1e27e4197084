package issuerkeys

import "time"

// Hurry bounds a fetch by another time, and Few what is kept.
func (k *Keys) Hurry(timeout time.Duration) { k.timeout = timeout }

// Few keeps fewer sources.
func (k *Keys) Few(most int) { k.most = most }

// Number is how many sources are kept.
func (k *Keys) Number() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.kept)
}

// OfOne is how many fetches run at a time for one organization.
const OfOne = ofOne
