import { spawnSync } from 'node:child_process'

import { Command, Option } from 'commander'
import { describe, expect, it } from 'vitest'

import { outlineCommands, renderCompletion } from '../../../scripts/packaging/completion.ts'

const program = new Command('tool').version('1')
program.command('start').addOption(new Option('--config <file>')).option('--fast')
program.command('show').command('all').option('--name <name>')
const completion = renderCompletion('tool', outlineCommands(program))

/** What bash offers after these words, the last of which is being typed. */
function complete(...words: readonly string[]): readonly string[] {
  const script = `${completion}
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _tool
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', 'tool', ...words], { encoding: 'utf8' })
  expect(stderr).toBe('')
  return stdout.split('\n').filter((line) => line !== '')
}

describe('the bash completion', () => {
  it('offers the commands and options of the program', () => {
    expect(complete('')).toEqual(['start', 'show', '--version', '--help'])
  })

  it('offers what begins as the word that is being typed', () => {
    expect(complete('st')).toEqual(['start'])
  })

  it('offers the options of a command', () => {
    expect(complete('start', '--')).toEqual(['--config', '--fast', '--help'])
  })

  it('offers the commands below a command, and their options', () => {
    expect(complete('show', '')).toEqual(['all', '--help'])
    expect(complete('show', 'all', '')).toEqual(['--name', '--help'])
  })

  it('offers files where an option takes one', () => {
    expect(complete('start', '--config', `${import.meta.dirname}/completion`)).toEqual([import.meta.filename])
  })
})
