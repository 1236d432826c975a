import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'

import { expect, it } from 'vitest'

import { agentCommand } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { PseudoTerminal } from '../support/pseudo-terminal.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const withoutScript = existsSync('/usr/bin/script') ? false : 'script of util-linux (Debian: bsdutils) is not there'

async function makeSite(): Promise<AgentSite> {
  const site = await createAgentSite()
  await site.publish('a', 'content')
  site.setPassword('first')
  return site
}

function command({ appliance }: AgentSite): readonly string[] {
  return [...agentCommand, 'status', '--watch', '--config', appliance.configFile]
}

it('shows the agent on a terminal through a stop and a new start, keeps to a new size, and ends at q', async ({
  skip,
}) => {
  if (withoutScript !== false) skip(withoutScript)
  await using site = await makeSite()
  await using terminal = new PseudoTerminal({ command: command(site) })
  await terminal.until('nobody answers', (screen) => screen.includes('No answer: no agent answers at'))

  const agent = site.start()
  const screen = await terminal.until('all is well', (shown) => /^All well: 1 artifact, 1 camera/m.test(shown))
  expect(screen).toMatch(/^artifact model +ok +release/m)
  expect(Math.max(...screen.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)

  agent.kill('SIGTERM')
  await exitOf(agent)
  await terminal.until('it stopped', (shown) => shown.includes('It was stopped, or is starting again'))
  site.start()
  await terminal.until('it is back', (shown) => shown.includes('All well: 1 artifact, 1 camera'))

  await site.publish('large', randomBytes(1_000_000))
  {
    const half = { service: 's3', action: 'GetObject' } as const
    using _ = site.cloud.faults.inject({ kind: 'stall', afterBytes: 500_000 }, half)
    void site.sync().catch(() => undefined) // what it comes to is not waited for
    const shown = await terminal.until('how far it is', (each) => / \[#+\.+\] +\d+ %/.test(each))
    expect(shown).toMatch(/^ *artifact model: downloading \d+ kB of 1\.0 MB/m)
  }

  await terminal.resize(60, 12)
  const small = await terminal.until('the new size', (shown) => shown.includes('that are well'))
  expect(small.split('\n').length).toBeLessThanOrEqual(12)

  terminal.type('q')
  expect(await terminal.exited).toBe(0)
  const [, left = ''] = terminal.output.split('\u001b[?25h\u001b[?1049l')
  expect(left).toContain('All well: 1 artifact, 1 camera')
})

it('ends at Ctrl-C, and uses no colours where NO_COLOR says so', async ({ skip }) => {
  if (withoutScript !== false) skip(withoutScript)
  await using site = await makeSite()
  await using terminal = new PseudoTerminal({ command: command(site), env: { NO_COLOR: '1' } })
  await terminal.until('a view', (screen) => screen.includes('q ends'))
  terminal.type('\u0003')
  expect(await terminal.exited).toBe(0)
  expect(terminal.output).not.toContain('\u001b[2m')
})

it('prints a line per change where the output is no terminal, and ends with whoever reads it', async () => {
  await using site = await makeSite()
  site.start()
  const [node = '', ...args] = command(site)
  const child = spawn(node, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  using _ = { [Symbol.dispose]: () => child.kill('SIGKILL') }
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  await waitUntil('the first look', () => output.includes('All well'))
  site.setPassword('second')
  await site.refresh()
  await waitUntil('the new credential', () => /^\S+Z camera dock-1, version \S+: new, ok$/m.test(output))
  expect(output).not.toContain('\u001b')
  child.kill('SIGINT')
  await once(child, 'close')
  expect(child.exitCode).toBe(0)
})
