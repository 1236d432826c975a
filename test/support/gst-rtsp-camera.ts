import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { runCommand } from './run-command.ts'

export interface GstRtspCameraOptions {
  readonly scheme: 'digest' | 'basic'
  readonly username: string
  readonly password: string
}

/** A camera by GStreamer's RTSP server (Digest with MD5, or Basic), in a process of its own. */
export interface GstRtspCamera extends AsyncDisposable {
  /** Without user info. */
  readonly streamUrl: string
  /** Expects no line end in it. */
  readonly setPassword: (password: string) => Promise<void>
}

// Debian's own: what is first in the PATH may know nothing of Debian's modules.
const python = '/usr/bin/python3'
const script = join(import.meta.dirname, 'gst-rtsp-camera.py')
const startWithinMs = 20_000

/** Why there can be no such camera here; undefined when there can. */
export async function whyNoGstRtspServer(): Promise<string | undefined> {
  const lines = [
    'import gi',
    'gi.require_version("Gst", "1.0")',
    'gi.require_version("GstRtspServer", "1.0")',
    'from gi.repository import Gst, GstRtspServer',
    'Gst.init(None)',
    'assert all(Gst.ElementFactory.find(name) for name in ("videotestsrc", "jpegenc", "rtpjpegpay"))',
  ]
  return await runCommand(python, ['-c', lines.join('\n')]).then(
    () => undefined,
    () =>
      "GStreamer's RTSP server for Python is not here (Debian's gir1.2-gst-rtsp-server-1.0, python3-gi, gstreamer1.0-plugins-base and -good)",
  )
}

export async function startGstRtspCamera({ scheme, username, password }: GstRtspCameraOptions): Promise<GstRtspCamera> {
  const child = spawn(python, [script, scheme, username], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const timer = setTimeout(() => child.kill('SIGKILL'), startWithinMs)
  child.stdin.on('error', () => undefined) // it ended, which its output tells
  child.stdin.write(`${password}\n`)
  const first = await lines.next()
  clearTimeout(timer)
  const port = /^ready (\d+)$/.exec(first.done === true ? '' : first.value)?.[1]
  if (port === undefined) {
    await end(child)
    throw new Error('the camera by GStreamer did not start')
  }
  return {
    streamUrl: `rtsp://127.0.0.1:${port}/live`,
    setPassword: async (next) => {
      child.stdin.write(`${next}\n`)
      const { value, done } = await lines.next()
      if (done === true || value !== 'changed') throw new Error('the camera by GStreamer ended')
    },
    [Symbol.asyncDispose]: async () => {
      await end(child)
    },
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}
