import fc from 'fast-check'
import { expect, test } from 'vitest'

import { templateParts } from '../../../agent/lib/text-template.ts'

test('tells placeholders from the text around them', () => {
  expect(templateParts('/a/{device.id}{file}}-b')).toEqual([
    { kind: 'text', text: '/a/' },
    { kind: 'placeholder', name: 'device.id' },
    { kind: 'placeholder', name: 'file' },
    { kind: 'text', text: '}-b' },
  ])
})

test.each(['{', '}', 'a{b', 'a}b', '}{'])('leaves the brace in %j to the text', (template) => {
  expect(templateParts(template)).toEqual([{ kind: 'text', text: template }])
})

test('loses nothing of any template', () => {
  const templates = fc.array(fc.constantFrom('{', '}', '{a}', 'b', '')).map((parts) => parts.join(''))
  fc.assert(
    fc.property(templates, (template) => {
      const texts = templateParts(template).map((part) => (part.kind === 'text' ? part.text : `{${part.name}}`))
      expect(texts.join('')).toBe(template)
    }),
  )
})
