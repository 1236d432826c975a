import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'

import { paths, type Appliance } from './appliance.ts'
import { pollUntil } from './poll-until.ts'

export interface ReaderReport {
  /** Rounds in which everything was read. */
  readonly reads: number
  /** What was missing or incomplete, each with its instant; the first twenty. */
  readonly misses: readonly string[]
}

/** A reader of camera files and artifacts beside the agent, as the applications of an appliance are. */
export interface FileReader {
  /** Ends it; throws when it had ended by itself. */
  readonly stop: () => Promise<ReaderReport>
}

/** Reads as often as it can, on the packaged runtime, until SIGTERM; then prints what it found. */
const program = `
const fs = require('node:fs')
const [camera, current, file] = process.argv.slice(2)
const report = { reads: 0, misses: [] }
function look() {
  try {
    if (!JSON.parse(fs.readFileSync(camera, 'utf8')).password) throw new Error('no password')
    if (fs.readFileSync(fs.realpathSync(current) + '/' + file).length === 0) throw new Error('empty file')
    if (report.reads === 0) fs.writeFileSync(process.argv[5] + '.begun', '')
    report.reads += 1
  } catch (error) {
    if (report.misses.length < 20) report.misses.push(new Date().toISOString() + ' ' + error.message)
  }
  setImmediate(look)
}
process.on('SIGTERM', () => {
  fs.writeFileSync(process.argv[5], JSON.stringify(report))
  process.exit()
})
look()
`

/** Starts it as a unit of its own in the appliance. The camera file and the artifact have to be there. */
export async function startReader(appliance: Appliance): Promise<FileReader> {
  const { container } = appliance
  const name = `reader-${randomUUID()}`
  const script = `/var/tmp/${name}.cjs`
  const report = `/var/tmp/${name}.json`
  await appliance.write(script, program)
  const command = ['/usr/lib/panorama-agent/node', script, paths.camera, paths.current, 'weights.bin', report]
  await container.run('systemd-run', '--quiet', `--unit=${name}`, ...command)
  await pollUntil('the reader reads', () => existsSync(container.path(`${report}.begun`)))
  return {
    stop: async () => {
      await container.run('systemctl', 'stop', name)
      return JSON.parse(await appliance.read(report)) as ReaderReport
    },
  }
}
