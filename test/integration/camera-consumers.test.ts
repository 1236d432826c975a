import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { CameraFiles } from '../../agent/cameras/camera-files.ts'
import { cameraFile } from '../support/camera-file.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { waitUntil } from '../support/wait-until.ts'

const script = join(import.meta.dirname, '..', '..', 'config', 'consumers', 'watch-cameras')
const noInotifywait = await runCommand('sh', ['-c', 'command -v inotifywait']).then(
  () => undefined,
  () => 'there is no inotifywait here',
)
if (noInotifywait !== undefined) console.log(`skipped: ${noInotifywait}`)

interface Watcher extends AsyncDisposable {
  /** What its command printed, by line. */
  readonly lines: () => readonly string[]
}

/** Runs the example with a command that prints the camera's name and password. */
function watchCameras(folder: string): Watcher {
  const show = `printf '%s %s\\n' "$1" "$(sed -n 's/.*"password":"\\([^"]*\\)".*/\\1/p' "${folder}/$1.json" 2>&1)"`
  const child = spawn(script, ['sh', '-c', show, 'show'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PANORAMA_CAMERAS: folder },
    detached: true,
  })
  const ended = new Promise((resolve) => child.once('close', resolve))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  return {
    lines: () => output.split('\n').slice(0, -1),
    async [Symbol.asyncDispose]() {
      if (child.pid !== undefined) process.kill(-child.pid) // the script and inotifywait, a group of their own
      await ended
    },
  }
}

describe.skipIf(noInotifywait !== undefined)('the example of a consumer that watches the folder', () => {
  it('acts on each file that is there, and on each that is replaced, added or removed', async () => {
    await using root = await tempFolder()
    const folder = join(root.path, 'cameras')
    const files = new CameraFiles(folder)
    await files.prepare(['dock-1', 'dock-2'])
    await files.write('dock-1', cameraFile({ password: 'one' }))
    await using watcher = watchCameras(folder)
    await waitUntil('the first file is seen', () => watcher.lines().includes('dock-1 one'))
    await files.write('dock-1', cameraFile({ password: 'two' }))
    await waitUntil('the new file is seen', () => watcher.lines().includes('dock-1 two'))
    await files.write('dock-1', cameraFile({ password: 'three' }))
    await waitUntil('the file after that is seen', () => watcher.lines().includes('dock-1 three'))
    await files.write('dock-2', cameraFile({ password: 'other' }))
    await waitUntil('the other file is seen', () => watcher.lines().includes('dock-2 other'))
    await files.prepare(['dock-1'])
    await waitUntil('the removal is seen', () => watcher.lines().some((line) => /^dock-2 .*can't read/.test(line)))
    expect(watcher.lines()).toHaveLength(5)
  })

  it('waits for the folder, and passes over what is no camera file', async () => {
    await using root = await tempFolder()
    const folder = join(root.path, 'cameras')
    await using watcher = watchCameras(folder)
    await mkdir(folder)
    await writeFile(join(folder, 'notes.txt'), 'of somebody')
    await new CameraFiles(folder).write('dock-1', cameraFile({ password: 'one' }))
    await waitUntil('the file is seen', () => watcher.lines().length > 0)
    expect(new Set(watcher.lines())).toEqual(new Set(['dock-1 one']))
  })
})
