import { PassThrough } from 'node:stream'

import { expect, it } from 'vitest'

import { createProgram } from '../../../agent/commands/command-line.ts'

const context = {
  signal: AbortSignal.abort(),
  stdout: new PassThrough(),
  stderr: new PassThrough(),
  service: {},
  onHangup: () => undefined,
}

it('takes no more lines of the log than the agent keeps, and says so in the help too', async () => {
  const program = createProgram(context)
  const logs = program.commands.find((command) => command.name() === 'logs')
  logs?.configureOutput({ writeErr: () => undefined })
  expect(logs?.helpInformation().replaceAll(/\s+/g, ' ')).toContain('2000 at most')
  const asking = program.parseAsync(['logs', '--lines', '3000'], { from: 'user' })
  await expect(asking).rejects.toThrow('It must be a number from 0 to 2000')
})
