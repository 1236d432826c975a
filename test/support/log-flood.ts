import { appendFileSync, existsSync, renameSync, rmSync } from 'node:fs'

/**
 * A program that logs: `log-flood.ts PATH EVENTS_PER_SECOND LINES_PER_FILE FILES`. Writes numbered lines until SIGTERM, in
 * pieces that end anywhere, rotates its file by renaming, keeps so many rotated ones, and prints how many lines it wrote.
 */
function flood(path: string, [eventsPerSecond = 1_000, linesPerFile = 10_000, files = 5]: readonly number[]): void {
  let lastMs = performance.now()
  let written = 0
  let inFile = 0
  let rest = ''
  const timer = setInterval(() => {
    const passedMs = Math.min(performance.now() - lastMs, 5 * tickMs)
    lastMs = performance.now()
    const due = written + Math.round((passedMs / 1_000) * eventsPerSecond)
    let text = rest
    for (; written < due; written += 1) {
      text += lineOf(written)
      inFile += 1
      if (inFile < linesPerFile) continue
      appendFileSync(path, text)
      rotate(path, files)
      text = ''
      inFile = 0
    }
    const cut = Math.max(0, text.length - 1 - (written % 150))
    appendFileSync(path, text.slice(0, cut))
    rest = text.slice(cut)
  }, tickMs)
  process.once('SIGTERM', () => {
    clearInterval(timer)
    appendFileSync(path, rest)
    process.stdout.write(`${written}\n`)
  })
}

const tickMs = 10

function lineOf(number: number): string {
  const time = new Date().toISOString().replace('T', ' ').slice(0, 23)
  const text = `${time} INFO  flood(${number % 1_000}) line ${number} `
  return `${text.padEnd(115, '.')}\n`
}

function rotate(path: string, files: number): void {
  rmSync(`${path}.${files}`, { force: true })
  for (let index = files - 1; index > 0; index -= 1) {
    if (existsSync(`${path}.${index}`)) renameSync(`${path}.${index}`, `${path}.${index + 1}`)
  }
  renameSync(path, `${path}.1`)
}

flood(process.argv[2] ?? '', process.argv.slice(3).map(Number))
