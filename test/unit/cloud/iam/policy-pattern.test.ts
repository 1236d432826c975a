import fc from 'fast-check'
import { expect, it } from 'vitest'

import { expandPattern, expandText, matchesPattern } from '../../../cloud/iam/policy-pattern.ts'

const none = (): undefined => undefined

function matches(pattern: string, text: string): boolean {
  const expanded = expandPattern(pattern, none)
  return expanded !== undefined && matchesPattern(expanded, text)
}

it('matches exactly what the same pattern as a regular expression matches', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', ':', '/', '.'), maxLength: 12 })
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', ':', '.', '*', '?'), maxLength: 8 })
  fc.assert(
    fc.property(pattern, letters, (wanted, text) => {
      const source = RegExp.escape(wanted).replaceAll('\\*', '.*').replaceAll('\\?', '.')
      expect(matches(wanted, text)).toBe(new RegExp(`^${source}$`, 's').test(text))
    }),
  )
})

it('matches every text by itself once its special characters are escaped', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      expect(
        matches(
          text.replaceAll(/[$*?]/g, (special) => `\${${special}}`),
          text,
        ),
      ).toBe(true)
    }),
  )
})

it('answers soon for many wildcards that match nothing', () => {
  expect(matches('*a'.repeat(200), 'a'.repeat(199) + 'b'.repeat(2000))).toBe(false)
})

it('gives a text back as it is when it holds no variable', () => {
  expect(expandText('a*b?$c', none)).toBe('a*b?$c')
  expect(expandText('${a:b}', none)).toBeUndefined()
})
