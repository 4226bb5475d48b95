package container

import (
	"os"
	"strconv"
	"strings"
)

// entry is a process as /proc/PID/stat tells it.
type entry struct {
	pid, parent int
	state       string
	startTime   string
}

func isZombie(state string) bool { return state == "Z" || state == "X" }

// parseStat reads the fields of a stat file that matter here. The program's name, in parentheses, may hold anything.
func parseStat(text string) (e entry, ok bool) {
	opening, closing := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if opening < 0 || closing < 0 {
		return entry{}, false
	}
	fields := strings.Fields(text[closing+1:])
	if len(fields) < 20 {
		return entry{}, false
	}
	e.pid, _ = strconv.Atoi(strings.TrimSpace(text[:opening]))
	e.parent, _ = strconv.Atoi(fields[1])
	e.state, e.startTime = fields[0], fields[19]
	return e, true
}

func processes() []entry {
	var list []entry
	names, _ := os.ReadDir("/proc")
	for _, name := range names {
		if _, err := strconv.Atoi(name.Name()); err != nil {
			continue
		}
		data, err := os.ReadFile("/proc/" + name.Name() + "/stat")
		if err != nil {
			continue
		}
		if e, ok := parseStat(string(data)); ok {
			list = append(list, e)
		}
	}
	return list
}

// StartTime returns when a process started, in kernel ticks, or "" if it is not there (or a zombie).
func StartTime(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	e, ok := parseStat(string(data))
	if !ok || isZombie(e.state) {
		return ""
	}
	return e.startTime
}

// Descendants lists the live descendants of a process.
func Descendants(root int) []int {
	children := map[int][]int{}
	for _, e := range processes() {
		if !isZombie(e.state) {
			children[e.parent] = append(children[e.parent], e.pid)
		}
	}
	var found []int
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		found = append(found, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return found
}

// Zombies lists the children of a process that wait to be reaped.
func Zombies(parent int) []int {
	var found []int
	for _, e := range processes() {
		if e.parent == parent && isZombie(e.state) {
			found = append(found, e.pid)
		}
	}
	return found
}
